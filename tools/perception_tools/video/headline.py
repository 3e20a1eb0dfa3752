"""The few numbers of a model that tell whether a change of its block's form matters."""

from __future__ import annotations

from pathlib import Path

from perception.models.action_recognizer import ActionRecognizer
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_datasets.video.open_videos import open_videos
from perception_tools.classification.records import labelled
from perception_tools.classification.scores import METRICS, score
from perception_tools.video.model import TrainedRecognizer
from perception_tools.video.prediction import Views, predict
from perception_tools.video.reconstruction import split_loss


def headline(
    model: ActionRecognizer | MaskedAutoencoder, trained: TrainedRecognizer, data: Path, split: str, limit: int | None
) -> dict[str, float]:
    """Top-1 and top-5 accuracy on a split from one view of each clip, shares from 0 to 1; the loss of an autoencoder.

    Raises:
        InputError: The videos cannot be used.
    """
    of, recipe = trained.training, trained.recipe
    videos = open_videos(data, split, classes=trained.classes or None, labels=of.labels, where=of.where, limit=limit)
    if isinstance(model, MaskedAutoencoder):
        return {"loss": split_loss(model, recipe, videos)[0]}
    views = Views(1, 1, recipe.order)
    found = predict(model, labelled(videos, split, "video"), views=views, shorter_side=recipe.shorter_side)
    scores = score(found, trained.classes, noun="clip").as_json()
    return {name: scores[name] for name in METRICS}
