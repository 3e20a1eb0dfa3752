"""ImageNet-S (https://arxiv.org/abs/2106.03149): pictures of ImageNet with a class for every pixel.

`validation/wnid/name.JPEG` is a picture and `validation-segmentation/wnid/name.png` its mask. An id is R + 256·G of the
mask's colours: 0 is none of the classes, k is line k of the set's list, 1000 is left out of every measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int64

from perception.errors import InputError
from perception_datasets.errors import bad_file, reading
from perception_datasets.images.class_lists import ClassList, read_class_list
from perception_datasets.images.decoding import CURE, Decoding, decode_pixels
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import FilePlace, PictureRecord, Pictures

IGNORED = 1000
OTHER = 0
_LISTS: dict[int, ClassList] = {50: "imagenet_s50", 300: "imagenet_s300", 919: "imagenet_s919"}


@dataclass(frozen=True)
class SegmentedPictures:
    """A split of ImageNet-S.

    Attributes:
        pictures: The pictures; label k is the id k + 1 of a mask.
        masks: Folder of the masks.
    """

    pictures: Pictures
    masks: Path

    def mask_place(self, record: PictureRecord) -> FilePlace:
        """Returns where a picture's mask is."""
        return FilePlace(self.masks / Path(record.id).with_suffix(".png"))

    def read_mask(self, record: PictureRecord) -> Int64[np.ndarray, "height width"]:
        """Reads the ids of a picture's pixels.

        Raises:
            RecordError: The mask cannot be read, or holds an id that the set does not have.
        """
        place = self.mask_place(record)
        return decode_mask(place.read(), place.name, len(self.pictures.classes))


def decode_mask(data: bytes, name: Path, classes: int) -> Int64[np.ndarray, "height width"]:
    """Decodes a mask.

    Args:
        data: Content of its PNG file.
        name: What to call it in a message.
        classes: Number of classes.

    Raises:
        RecordError: It cannot be decoded, or holds an id that is neither of a class nor 0 nor 1000.
    """
    with reading(name, CURE):
        if data[:8] != b"\x89PNG\r\n\x1a\n" and data:
            raise bad_file(name, "expected a PNG file, because other formats change ids, found another", CURE)
        colours = decode_pixels(data, name, Decoding()).astype(np.int64)
        ids = colours[..., 0] + 256 * colours[..., 1]
        unknown = ids[(ids > classes) & (ids != IGNORED)]
        if unknown.size:
            raise bad_file(name, f"expected ids from 0 to {classes} or {IGNORED}, found {unknown[0]}", CURE)
        return ids


def open_imagenet_s(
    root: Path, split: Literal["validation", "train-semi"] = "validation", classes: int = 50
) -> SegmentedPictures:
    """Opens the pictures and masks of a split.

    Args:
        root: Folder such as `ImageNetS50`.
        split: `validation`, or `train-semi`; the test split has no masks.
        classes: 50, 300 or 919.

    Raises:
        InputError: The folder has no such split, or pictures of other classes.
        RecordError: A picture has no mask.
    """
    if classes not in _LISTS:
        raise InputError(f"classes: expected 50, 300 or 919, got {classes}")
    pictures = open_pictures(root, split, classes=read_class_list(_LISTS[classes]))
    opened = SegmentedPictures(pictures, Path(root) / f"{split}-segmentation")
    missing = next((place for record in pictures if not (place := opened.mask_place(record)).path.is_file()), None)
    if missing is not None:
        raise bad_file(missing.path, "expected the mask of a picture, found no file", "copy the data set again")
    return opened
