"""Training pictures as a model sees them: cropped, changed by timm's transforms, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float32, Int64
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from perception.errors import InputError
from perception.images.picture_input import PictureInput
from perception.models.image_classifier import ImageClassifier
from perception_datasets.images.cropping import RandomResizedCrop
from perception_datasets.images.records import Pictures
from perception_tools.classification.learning import LabelledBatch
from perception_tools.image.recipes import ImageRecipe
from perception_tools.image.shifted import ShiftedPictures
from perception_tools.training.augmentation import seeded, timm_changes
from perception_tools.training.sampler import Key

_MAX_UNREAD = 20
"""Number of pictures in a row that may be unreadable before training stops."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture as it enters a batch.

    Attributes:
        image: Normalised pixels.
        label: Its class.
        unread: Name and fault of the pictures that should have stood here and could not be decoded.
    """

    image: Float32[Tensor, "3 height width"]
    label: int
    unread: tuple[tuple[str, str], ...] = ()


class Shown(Protocol):
    """A way to show a training picture."""

    def show(self, index: int, rng: np.random.Generator) -> Float32[Tensor, "3 height width"]:
        """A picture, changed as `rng` draws; raises InputError if it cannot be decoded."""
        ...


class TrainingPictures(Dataset[ShownPicture]):
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

    def __getitem__(self, key: Key) -> ShownPicture:
        """A picture, changed.

        Raises:
            InputError: It and those after it cannot be decoded.
        """
        unread: list[tuple[str, str]] = []
        for offset in range(min(_MAX_UNREAD, len(self.pictures))):
            index = (key.index + offset) % len(self.pictures)
            rng = np.random.default_rng((self.seed, key.data_pass, key.index, key.repetition))
            try:
                return ShownPicture(self._shown.show(index, rng), int(self.pictures.labels[index]), tuple(unread))
            except InputError as error:  # of the reader, or of a picture that is too long and narrow
                unread.append((self.pictures.ids[index], str(error)))
        raise InputError(
            f"training pictures: expected some that can be read, found {len(unread)} in a row that cannot; the first: "
            f"{unread[0][1]}"
        )


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


@dataclass(frozen=True)
class UnreadPicture:
    """A picture that could not be decoded, and why."""

    id: str
    fault: str


class ValidationPictures(Dataset[ShownPicture | UnreadPicture]):
    """Pictures as the model is shown them in service.

    Args:
        pictures: The split; all of them have labels.
        model: Whose input prepares them.
    """

    def __init__(self, pictures: Pictures, model: ImageClassifier) -> None:
        self.pictures, self._input = pictures, model.input

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> ShownPicture | UnreadPicture:
        """A picture of the split."""
        record = self.pictures[index]
        assert record.label is not None, "a validation split has labels"
        try:
            return ShownPicture(self._input.prepare(self.pictures.decode(record)), record.label)
        except InputError as error:  # of the reader, or of a picture that is too long and narrow
            return UnreadPicture(record.id, str(error))


def collate(shown: Sequence[ShownPicture | UnreadPicture]) -> LabelledBatch:
    """Pictures side by side, without those that could not be decoded; there may be none."""
    known = [picture for picture in shown if isinstance(picture, ShownPicture)]
    unread = [fault for picture in known for fault in picture.unread]
    unread += [(picture.id, picture.fault) for picture in shown if isinstance(picture, UnreadPicture)]
    images = torch.stack([picture.image for picture in known]) if known else torch.zeros(0, 3, 1, 1)
    return LabelledBatch(images, _labels(known), tuple(unread))


def _labels(known: Sequence[ShownPicture]) -> Int64[Tensor, " batch"]:
    return torch.tensor([picture.label for picture in known], dtype=torch.int64)


def labelled(pictures: Pictures, split: str) -> Pictures:
    """The split, which must have labels.

    Raises:
        InputError: It has pictures without a label.
    """
    unlabelled = int((pictures.labels < 0).sum())
    if unlabelled:
        raise InputError(
            f"{pictures.path}: expected labels for all pictures of split {split!r}, found {unlabelled} without one; "
            "give a labelled split"
        )
    return pictures
