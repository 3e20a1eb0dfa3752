"""The few numbers of a classifier that tell whether a change of its block's form matters."""

from __future__ import annotations

from pathlib import Path

from perception.models.image_classifier import ImageClassifier
from perception_tools.classification.scores import METRICS, score
from perception_tools.image.model import TrainedClassifier
from perception_tools.image.prediction import predict
from perception_tools.image.sets import open_split


def headline(
    model: ImageClassifier, trained: TrainedClassifier, data: Path, split: str, limit: int | None
) -> dict[str, float]:
    """Top-1 and top-5 accuracy on a split; shares from 0 to 1.

    Raises:
        InputError: The pictures cannot be used.
    """
    of = open_split(data, split, trained.classes, limit)
    found = score(predict(model, of.source), trained.classes, of.classes, noun="picture").as_json()
    return {name: found[name] for name in METRICS}
