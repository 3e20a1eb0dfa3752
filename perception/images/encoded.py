"""Encoded pictures → pixels, by Pillow, for readers of files and for nodes.

Modes are converted as torchvision and timm convert them, with Pillow's `convert("RGB")`: grey is repeated, transparency
is dropped, CMYK is converted without a profile, and EXIF's orientation is ignored. One mode differs: 16-bit grey is
divided by 256, where `convert` would turn all but the darkest values into white.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from perception.errors import InputError

if TYPE_CHECKING:  # Pillow comes with the extra [camera]
    from PIL import Image, ImageFile

FORMATS = {"JPEG": "Jpeg", "PNG": "Png", "WEBP": "WebP", "BMP": "Bmp", "GIF": "Gif", "PPM": "Ppm", "TIFF": "Tiff"}
"""Format → Pillow's plugin for it. Of the others some run programs."""
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_NAMES = {"WEBP": "WebP"}
_SMALLER = "make it smaller, or allow more pixels"


class BadPicture(InputError):
    """A picture that cannot be decoded.

    Attributes:
        reason: What was expected and found.
        cure: What to do about it; empty where that depends on where the picture is from.
    """

    def __init__(self, reason: str, cure: str = "") -> None:
        super().__init__(f"{reason}; {cure}" if cure else reason)
        self.reason, self.cure = reason, cure


def open_encoded(data: bytes, max_pixels: int, formats: Sequence[str] = tuple(FORMATS)) -> ImageFile.ImageFile:
    """Returns a picture of which only the header is read; Pillow raises many kinds of errors for a damaged one.

    Image.open would warn of large pictures, and would try formats of which Pillow runs other programs.

    Args:
        data: JPEG, PNG, and so on; the first bytes tell.
        max_pixels: Maximum number of pixels.
        formats: Formats to take.

    Raises:
        BadPicture: The picture is empty, of another format, or has more pixels than allowed.
    """
    from PIL import Image

    if not data:
        raise BadPicture("expected a picture, found 0 bytes")
    for name in formats:
        import_module(f"PIL.{FORMATS[name]}ImagePlugin")
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(data[:16]):
            picture = factory(io.BytesIO(data), "")
            break
    else:
        *others, last = (_NAMES.get(name, name) for name in formats)
        raise BadPicture(f"expected {', '.join(others)} or {last}, found a file that begins with {data[:8]!r}")
    width, height = picture.size
    if not 0 < width * height <= max_pixels:
        raise BadPicture(f"expected at most {max_pixels:,} pixels, found {width:,} × {height:,}", _SMALLER)
    return picture


def to_rgb(picture: Image.Image) -> Image.Image:
    """Returns a picture in red, green and blue of 8 bits each.

    Raises:
        BadPicture: Its values have a range that no file states, as those of 32-bit TIFF.
    """
    from PIL import Image

    if picture.mode == "RGB":
        picture.load()
        return picture
    if picture.mode in _SIXTEEN_BITS:
        grey = np.asarray(picture) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        reason = f"expected values of 8 or 16 bits, found 32 (mode {picture.mode})"
        raise BadPicture(reason, "store it with 8 or 16 bits")
    if picture.mode == "P" and "transparency" in picture.info:
        return picture.convert("RGBA").convert("RGB")  # the same colours, without Pillow's warning
    return picture.convert("RGB")
