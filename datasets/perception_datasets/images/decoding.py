"""Encoded pictures → pixels; every fault of a file becomes an error that names it.

How modes are converted is said in `perception.images.encoded`. EXIF's orientation is ignored unless asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, ImageOps

from perception.images import encoded
from perception.images.encoded import BadPicture
from perception_datasets.errors import bad_file, reading

__all__ = ["CURE", "SUFFIXES", "Decoding", "decode_pixels", "open_encoded", "to_rgb"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
"""What counts as a picture in a folder or an archive; torchvision's list, and GIF."""
CURE = "copy the file again, or remove it from the data set"
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Decoding:
    """How pictures are decoded.

    Attributes:
        max_pixels: Maximum number of pixels of a picture; the default is the number from which Pillow warns of a bomb.
        exif_transpose: Turns pictures upright by EXIF's orientation. The loaders of torchvision and timm do not, so
            published accuracies are without it.
    """

    max_pixels: int = 89_478_485
    exif_transpose: bool = False


def decode_pixels(data: bytes, name: Path, decoding: Decoding | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes the first image of a file.

    Args:
        data: Content of the file: JPEG, PNG, WebP, BMP, GIF, PPM or TIFF, whatever its name says.
        name: What to call it in a message.
        decoding: How.

    Raises:
        RecordError: It is empty, truncated, damaged, of another format, or too large.
    """
    decoding = decoding or Decoding()
    with reading(name, CURE):
        picture = open_encoded(data, name, decoding)
        if decoding.exif_transpose:
            picture = ImageOps.exif_transpose(picture)
        return np.asarray(to_rgb(picture, name))


def open_encoded(data: bytes, name: Path, decoding: Decoding) -> ImageFile.ImageFile:
    """Returns a picture of which only the header is read; to be called inside `reading`.

    Raises:
        RecordError: The picture is empty, of another format, or has more pixels than allowed.
    """
    with _named(name):
        return encoded.open_encoded(data, decoding.max_pixels)


def oriented(picture: Image.Image) -> bool:
    """Returns whether EXIF says that a picture is to be turned or mirrored."""
    return picture.getexif().get(_ORIENTATION, 1) != 1


def to_rgb(picture: Image.Image, name: Path) -> Image.Image:
    """Returns a picture in red, green and blue of 8 bits each.

    Raises:
        RecordError: Its values have a range that no file states, as those of 32-bit TIFF.
    """
    with _named(name):
        return encoded.to_rgb(picture)


@contextmanager
def _named(name: Path) -> Iterator[None]:
    """Names the file whose picture cannot be decoded."""
    try:
        yield
    except BadPicture as error:
        raise bad_file(name, error.reason, error.cure or CURE) from error
