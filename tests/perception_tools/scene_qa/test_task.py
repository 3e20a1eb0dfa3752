"""What shared code is told about scene question answering; that it can be used is tested for all tasks together."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

from perception_tools.model_metadata import format_of
from perception_tools.scene_qa.evaluate import evaluate_answerers
from perception_tools.scene_qa.task import TASK


def test_files_have_the_format_that_those_of_former_versions_have(trained_answerer: Path) -> None:
    assert TASK.format == format_of(trained_answerer) == "frozen-perception scene answerer 1"


def test_every_monitored_number_is_in_an_evaluation(trained_answerer: Path, rooms_store: Path, tmp_path: Path) -> None:
    metrics = evaluate_answerers((trained_answerer,), rooms_store, tmp_path, split="test", limit=1)
    for path in TASK.monitored:
        assert isinstance(reduce(dict.__getitem__, path.split("/"), metrics), float), path


def test_a_trained_run_is_loaded_with_its_name(trained_answerer: Path) -> None:
    trained = TASK.load_model(trained_answerer)
    assert trained.name in TASK.recipes
    assert not trained.model.training
