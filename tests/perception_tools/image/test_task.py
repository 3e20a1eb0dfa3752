"""What shared code is told about classifying pictures; that it can be used is tested for all tasks together."""

from __future__ import annotations

from pathlib import Path

from perception_tools.image.evaluate import evaluate_classifiers
from perception_tools.image.task import TASK
from perception_tools.model_metadata import format_of


def test_files_have_the_format_that_those_of_later_versions_must_have(trained_classifier: Path) -> None:
    assert TASK.format == format_of(trained_classifier) == "frozen-perception image classifier 1"


def test_every_monitored_number_is_in_an_evaluation(trained_classifier: Path, pictures: Path, tmp_path: Path) -> None:
    metrics = evaluate_classifiers((trained_classifier,), pictures, tmp_path, limit=2)
    assert all(isinstance(metrics[name], float) for name in TASK.monitored)


def test_a_trained_run_is_loaded_with_its_name(trained_classifier: Path) -> None:
    trained = TASK.load_model(trained_classifier)
    assert trained.name in TASK.recipes
    assert not trained.model.training
