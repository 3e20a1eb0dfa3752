"""Pictures of any source under a corruption of ImageNet-C, computed when a picture is decoded.

ImageNet-C's own files are JPEG pictures that were compressed after they were corrupted; these are not, so accuracies
under the two differ. Say which one a number is of.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from perception.errors import InputError
from perception.images.image import Picture
from perception_datasets.errors import RecordError, reading
from perception_datasets.images.corruption_library import MIN_SIZE, corrupt, is_installed
from perception_datasets.images.imagenet_c import check_severity, find_corruption
from perception_datasets.images.records import PictureRecord, PictureSource

_CURE = "leave the picture out, or crop the pictures of all corruptions alike"


@dataclass(frozen=True)
class CorruptedPictures:
    """A view of pictures under a corruption. What is random is a function of seed, corruption, severity and the record.

    Attributes:
        source: The pictures.
        corruption: Name of one of ImageNet-C's 19 corruptions.
        severity: 1 to 5.
        seed: Seed of the whole view.
        size: Side of the square that is cut out first, as ImageNet-C's pictures were (224): the shorter side is resized
            to 8/7 of it, bilinearly, and the middle is taken. Pictures keep their size if not given. Severities are
            meant for 224 pixels; `glass_blur` takes seconds for each picture of that size.
    """

    source: PictureSource
    corruption: str
    severity: int
    seed: int = 0
    size: int | None = None

    def __post_init__(self) -> None:
        find_corruption(self.corruption)
        check_severity(self.severity)
        if self.size is not None and self.size < MIN_SIZE:
            raise InputError(f"size: expected at least {MIN_SIZE} pixels, got {self.size}")
        if not is_installed():
            raise InputError("imagecorruptions is not installed; pip install 'frozen-perception[corruptions]'")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.source.classes

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> PictureRecord:
        """Returns a record of the source."""
        return self.source[index]

    def decode(self, record: PictureRecord) -> Picture:
        """Decodes and corrupts a picture.

        Raises:
            RecordError: It cannot be decoded, or has fewer than 32 × 32 pixels.
        """
        picture = self.source.decode(record)
        words = f"{self.seed}\0{self.corruption}\0{self.severity}\0{record.id}"
        seed = int.from_bytes(hashlib.sha256(words.encode("utf-8", "surrogateescape")).digest()[:4], "big")
        with reading(record.place.name, _CURE):
            try:
                pixels = picture.pixels if self.size is None else _middle(picture.pixels, self.size)
                return Picture(picture.id, corrupt(pixels, self.corruption, self.severity, seed))
            except ValueError as error:
                raise RecordError(f"{record.place.name}: {error}; {_CURE}") from error


def _middle(pixels: UInt8[np.ndarray, "height width 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Resizes the shorter side to 8/7 of a size and cuts a square out of the middle, as torchvision does."""
    height, width = pixels.shape[:2]
    short = size * 8 // 7
    width, height = (short, short * height // width) if width <= height else (short * width // height, short)
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
