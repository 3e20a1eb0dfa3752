"""The few numbers by which forms of a block are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.image.evaluate import evaluate_classifiers
from perception_tools.image.headline import headline
from perception_tools.image.model import load_classifier


@pytest.mark.parametrize("limit", [None, 5])
def test_they_are_the_evaluations_own(
    limit: int | None, trained_classifier: Path, pictures: Path, tmp_path: Path
) -> None:
    trained = load_classifier(trained_classifier)
    metrics = evaluate_classifiers((trained_classifier,), pictures, tmp_path, limit=limit)
    found = headline(trained.model, trained, pictures, "val", limit)
    assert found == {"top1": metrics["top1"], "top5": metrics["top5"]}


def test_a_split_that_is_not_there_is_refused(trained_classifier: Path, pictures: Path) -> None:
    trained = load_classifier(trained_classifier)
    with pytest.raises(InputError, match="give one of these as the split: train, val"):
        headline(trained.model, trained, pictures, "nowhere", None)
