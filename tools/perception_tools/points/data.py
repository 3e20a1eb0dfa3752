"""Training clouds as a model sees them: sampled, stretched and shifted."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.utils.data import Dataset

from perception.clouds.cloud import CloudInput
from perception_datasets.clouds.records import Clouds
from perception_tools.classification.predictions import Prepared, prepare
from perception_tools.classification.records import ShownRecord, show_readable
from perception_tools.points.recipes import AugmentationRecipe, PointRecipe
from perception_tools.training.loaders import KeptRecords
from perception_tools.training.sampler import Key


class SampledClouds:
    """Clouds as `CloudInput` samples them; a cloud stays in memory once it was read, as long as there is room.

    Args:
        clouds: The clouds.
        input: How they are sampled.
        count: Number of points of each.
        keep: Number of clouds that stay in memory.
    """

    def __init__(self, clouds: Clouds, input: CloudInput, count: int, keep: int) -> None:
        self.clouds, self.input, self.count = clouds, input, count
        self._kept = KeptRecords(self._read, keep)

    def __getitem__(self, index: int) -> Float32[Tensor, "count 3"]:
        """The points of a cloud, in farthest-point order; raises InputError if it cannot be used."""
        return self._kept[index]

    def drawn_anew(self, index: int, draw: int) -> Float32[Tensor, "count 3"]:
        """Another draw of the cloud's points, where they are drawn at random."""
        return self._read(index, draw) if self.clouds.source.is_drawn else self[index]

    def _read(self, index: int, draw: int = 0) -> Float32[Tensor, "count 3"]:
        return self.input.sample(self.clouds.decode(self.clouds[index], draw), self.count)


def augment(
    points: Float32[Tensor, "sampled 3"], count: int, recipe: AugmentationRecipe, rng: np.random.Generator
) -> Float32[Tensor, "{count} 3"]:
    """A random part of the points, each axis stretched and shifted by factors of its own, as in Point-BERT's code.

    The part stays in farthest-point order, so that the first centre of the groups is near where it is in evaluation;
    that code shuffles it.

    Args:
        points: In farthest-point order.
        count: Number of points of the part.
        recipe: The bounds.
        rng: What all of it is drawn from.
    """
    chosen = torch.from_numpy(np.sort(rng.permutation(len(points))[:count]))
    stretch = rng.uniform(1 / recipe.stretch, recipe.stretch, 3).astype(np.float32)
    shift = rng.uniform(-recipe.shift, recipe.shift, 3).astype(np.float32)
    return points[chosen] * torch.from_numpy(stretch) + torch.from_numpy(shift)


class TrainingClouds(Dataset[ShownRecord]):
    """Clouds by the sampler's keys; what is random is a function of seed, pass, cloud and repetition.

    A cloud that cannot be read is replaced by the next one, and named.

    Args:
        clouds: The training split.
        input: How the model is shown clouds.
        recipe: Augmentation and sizes.
        keep: Number of clouds that stay in memory.
    """

    def __init__(self, clouds: Clouds, input: CloudInput, recipe: PointRecipe, keep: int) -> None:
        self.clouds, self.recipe = clouds, recipe
        self._sampled = SampledClouds(clouds, input, recipe.augmentation.oversample, keep)

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitem__(self, key: Key) -> ShownRecord:
        """A cloud, changed.

        Raises:
            InputError: It and those after it cannot be read.
        """
        changes = self.recipe.augmentation

        def show(index: int) -> tuple[Float32[Tensor, "points 3"]]:
            points = self._sampled.drawn_anew(index, key.data_pass) if changes.redraw else self._sampled[index]
            rng = np.random.default_rng((self.recipe.seed, key.data_pass, key.index, key.repetition))
            return (augment(points, self.recipe.points, changes, rng),)

        return show_readable(self.clouds, key.index, show, "clouds")


class ShownClouds(Dataset[Prepared]):
    """Clouds as the model is shown them in service.

    Args:
        clouds: The split.
        input: How the model is shown them.
        keep: Number of clouds that stay in memory.
    """

    def __init__(self, clouds: Clouds, input: CloudInput, keep: int = 0) -> None:
        self.clouds = clouds
        self._sampled = SampledClouds(clouds, input, input.points, keep)

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitem__(self, index: int) -> Prepared:
        """A cloud of the split."""
        return prepare(self.clouds.ids[index], int(self.clouds.labels[index]), lambda: self._sampled[index])
