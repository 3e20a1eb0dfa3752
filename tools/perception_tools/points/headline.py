"""The few numbers of a classifier that tell whether a change of its block's form matters."""

from __future__ import annotations

from pathlib import Path

from perception.models.point_classifier import PointClassifier
from perception_datasets.clouds.open_clouds import open_clouds
from perception_tools.classification.scores import METRICS, score
from perception_tools.points.model import TrainedClassifier
from perception_tools.points.prediction import predict


def headline(
    model: PointClassifier, trained: TrainedClassifier, data: Path, split: str, limit: int | None
) -> dict[str, float]:
    """Top-1 and top-5 accuracy on a split; shares from 0 to 1.

    Raises:
        InputError: The clouds cannot be used.
    """
    clouds = open_clouds(data, split, classes=trained.classes, variant=trained.recipe.variant, limit=limit)
    found = score(predict(model, clouds), trained.classes, noun="cloud").as_json()
    return {name: found[name] for name in METRICS}
