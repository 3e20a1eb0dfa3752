"""What shared code is told about forecasting; that it can be used at all is tested for all tasks together."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path

from perception_tools.forecasting.task import TASK
from perception_tools.model_metadata import format_of


def test_files_have_the_format_that_those_of_former_versions_have(trained_run: Path) -> None:
    assert TASK.format == format_of(trained_run) == "frozen-perception forecaster 2"


def test_every_monitored_number_is_in_an_evaluation(evaluated: Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    for path in TASK.monitored:
        assert isinstance(reduce(dict.__getitem__, path.split("/"), metrics), float), path


def test_a_trained_run_is_loaded_with_its_name(trained_run: Path) -> None:
    trained = TASK.load_model(trained_run)
    assert trained.name in TASK.recipes
    assert not trained.model.training
