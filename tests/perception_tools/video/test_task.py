"""What shared code is told about recognising actions; that it can be used is tested for all tasks together."""

from __future__ import annotations

from pathlib import Path

from perception_tools.model_metadata import format_of
from perception_tools.video.evaluate import evaluate_recognizers
from perception_tools.video.task import TASK


def test_files_have_the_format_that_those_of_later_versions_must_have(trained_recognizer: Path) -> None:
    assert TASK.format == format_of(trained_recognizer) == "frozen-perception action recognizer 1"


def test_every_monitored_number_is_in_an_evaluation(trained_recognizer: Path, clips: Path, tmp_path: Path) -> None:
    metrics = evaluate_recognizers((trained_recognizer,), clips, tmp_path, limit=2)
    assert all(isinstance(metrics[name], float) for name in TASK.monitored)


def test_a_trained_run_is_loaded_with_its_name(trained_recognizer: Path) -> None:
    trained = TASK.load_model(trained_recognizer)
    assert trained.name in TASK.recipes
    assert not trained.model.training
