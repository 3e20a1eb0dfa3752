"""What a classifier says of point clouds: by one look at each, by several votes, or with shuffled coordinates."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.utils.data import Dataset

from perception.models.point_classifier import PointClassifier
from perception_datasets.clouds.records import Clouds
from perception_tools.classification.predictions import Predictions, Prepared, predict_prepared, prepare
from perception_tools.points.data import SampledClouds, augment
from perception_tools.points.recipes import AugmentationRecipe

Look = Callable[[Float32[Tensor, "sampled 3"], np.random.Generator], Float32[Tensor, "looks points 3"]]
"""Function from the sampled points of a cloud to what the model is shown of it, once or several times."""


class _Looks(Dataset[Prepared]):
    """What the model is shown of each cloud; what is random is a function of the cloud's name."""

    def __init__(self, sampled: SampledClouds, look: Look) -> None:
        self.sampled, self.look = sampled, look

    def __len__(self) -> int:
        return len(self.sampled.clouds)

    def __getitem__(self, index: int) -> Prepared:
        clouds = self.sampled.clouds
        name = clouds.ids[index]
        rng = np.random.default_rng(zlib.crc32(name.encode("utf-8", "surrogateescape")))
        return prepare(name, int(clouds.labels[index]), lambda: self.look(self.sampled[index], rng))


def predict(
    model: PointClassifier, clouds: Clouds, *, batch: int = 64, workers: int = 0, title: str = "clouds"
) -> Predictions:
    """Classifies all clouds of a set by one look at each: a single pass.

    Args:
        model: In evaluation mode.
        clouds: The clouds.
        batch: Number of clouds in one call of the model.
        workers: Number of processes that read.
        title: What the progress bar says.

    Raises:
        InputError: There is no cloud that can be read.
    """
    sampled = SampledClouds(clouds, model.input, model.input.points, keep=0)
    return _predict(model, _Looks(sampled, lambda points, _: points.unsqueeze(0)), batch, workers, title)


def predict_by_vote(
    model: PointClassifier,
    clouds: Clouds,
    changes: AugmentationRecipe,
    *,
    votes: int,
    batch: int = 64,
    workers: int = 0,
    title: str = "clouds",
) -> Predictions:
    """Classifies all clouds by the mean logit of several looks, each changed at random as in training.

    The authors' code repeats this nine times and reports the best round; here it is done once.

    Args:
        model: In evaluation mode.
        clouds: The clouds.
        changes: How a look is changed.
        votes: Number of looks.
        batch: Number of clouds in one call of the model, whose looks are all computed together.
        workers: Number of processes that read.
        title: What the progress bar says.

    Raises:
        InputError: There is no cloud that can be read.
    """
    count = model.input.points

    def look(points: Float32[Tensor, "sampled 3"], rng: np.random.Generator) -> Float32[Tensor, "looks points 3"]:
        return torch.stack([augment(points, count, changes, rng) for _ in range(votes)])

    sampled = SampledClouds(clouds, model.input, changes.oversample, keep=0)
    return _predict(model, _Looks(sampled, look), batch, workers, title)


def predict_shuffled(
    model: PointClassifier, clouds: Clouds, *, batch: int = 64, workers: int = 0, title: str = "clouds"
) -> Predictions:
    """Classifies clouds whose x, y and z are each shuffled over the points: a control.

    That keeps how each axis is distributed and destroys the shape. A model that is as good as before looks at no shape.

    Args:
        model: In evaluation mode.
        clouds: The clouds.
        batch: Number of clouds in one call of the model.
        workers: Number of processes that read.
        title: What the progress bar says.

    Raises:
        InputError: There is no cloud that can be read.
    """

    def look(points: Float32[Tensor, "sampled 3"], rng: np.random.Generator) -> Float32[Tensor, "1 points 3"]:
        axes = [axis[torch.from_numpy(rng.permutation(len(axis)))] for axis in points.unbind(1)]
        return torch.stack(axes, 1).unsqueeze(0)

    sampled = SampledClouds(clouds, model.input, model.input.points, keep=0)
    return _predict(model, _Looks(sampled, look), batch, workers, title)


def _predict(model: PointClassifier, looks: _Looks, batch: int, workers: int, title: str) -> Predictions:
    device = next(model.parameters()).device

    def classify(shown: Sequence[Float32[Tensor, "looks points 3"]]) -> Float[Tensor, "batch classes"]:
        logits = model(torch.cat(list(shown)).to(device)).float()
        return logits.unflatten(0, (len(shown), -1)).mean(1)

    return predict_prepared(looks, classify, batch=batch, workers=workers, title=title, noun="cloud")
