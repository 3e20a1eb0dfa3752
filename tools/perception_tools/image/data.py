"""Training pictures as a model sees them: cropped, changed by timm's transforms, normalised."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float32
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from perception.images.picture_input import PictureInput
from perception_datasets.images.cropping import RandomResizedCrop
from perception_datasets.images.records import Pictures
from perception_tools.classification.records import ShownRecord, show_readable
from perception_tools.image.recipes import ImageRecipe
from perception_tools.image.shifted import ShiftedPictures
from perception_tools.training.augmentation import seeded, timm_changes
from perception_tools.training.sampler import Key


class Shown(Protocol):
    """A way to show a training picture."""

    def show(self, index: int, rng: np.random.Generator) -> Float32[Tensor, "3 height width"]:
        """A picture, changed as `rng` draws; raises InputError if it cannot be decoded."""
        ...


class TrainingPictures(Dataset[ShownRecord]):
    """Pictures by the sampler's keys; what is random is a function of seed, pass, picture and repetition.

    A picture that cannot be decoded is replaced by the next one, and named.

    Args:
        pictures: The training split; all of them have labels.
        recipe: Augmentation and size.
        keep: Number of pictures that stay in memory, where the augmentation only moves them.

    Raises:
        InputError: timm does not know such an augmentation.
    """

    def __init__(self, pictures: Pictures, recipe: ImageRecipe, keep: int = 0) -> None:
        self.pictures, self.seed = pictures, recipe.seed
        shown, shift = PictureInput(recipe.picture, recipe.picture, recipe.crop_pct), recipe.augmentation.shift
        self._shown: Shown = (
            ShiftedPictures(pictures, shown, shift, keep) if shift else ChangedPictures(pictures, recipe)
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, key: Key) -> ShownRecord:
        """A picture, changed.

        Raises:
            InputError: It and those after it cannot be decoded, or are too long and narrow.
        """

        def show(index: int) -> tuple[Float32[Tensor, "3 height width"]]:
            rng = np.random.default_rng((self.seed, key.data_pass, key.index, key.repetition))
            return (self._shown.show(index, rng),)

        return show_readable(self.pictures, key.index, show, "pictures")


class ChangedPictures:
    """Pictures cropped at random, changed by timm's transforms and normalised.

    Args:
        pictures: The training split.
        recipe: Augmentation and size.

    Raises:
        InputError: timm does not know such an augmentation.
    """

    def __init__(self, pictures: Pictures, recipe: ImageRecipe) -> None:
        self.pictures, changes = pictures, recipe.augmentation
        self._change, self._finish = timm_changes(
            recipe.picture, changes.auto_augment, changes.color_jitter, changes.erasing, changes.erasing_mode
        )
        self._crop = RandomResizedCrop(recipe.picture, scale=(changes.scale, 1.0), reduce=not changes.exact)

    def show(self, index: int, rng: np.random.Generator) -> Float32[Tensor, "3 height width"]:
        """A picture, changed as `rng` draws.

        Raises:
            RecordError: It cannot be decoded.
        """
        planes = self.pictures.decode_crop(self.pictures[index], self._crop, rng)
        with seeded(int(rng.integers(2**32))):
            return self._finish(self._change(Image.fromarray(planes.transpose(1, 2, 0))))
