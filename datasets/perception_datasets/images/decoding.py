"""Encoded pictures → pixels, by Pillow; every fault of a file becomes an error that names it.

Modes are converted as torchvision and timm convert them, with Pillow's `convert("RGB")`: grey is repeated, transparency
is dropped, CMYK is converted without a profile, and EXIF's orientation is ignored unless asked for. One mode differs:
16-bit grey is divided by 256, where `convert` would turn all but the darkest values into white.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from perception_datasets.errors import bad_file, reading

__all__ = ["CURE", "SUFFIXES", "Decoding", "decode_pixels", "open_encoded", "to_rgb"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
"""What counts as a picture in a folder or an archive; torchvision's list, and GIF."""
CURE = "copy the file again, or remove it from the data set"
_PLUGINS = (
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
)
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
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

    Image.open would warn of large pictures, and would try formats of which Pillow runs other programs.

    Raises:
        RecordError: The picture is empty, of another format, or has more pixels than allowed.
    """
    if not data:
        raise bad_file(name, "expected a picture, found 0 bytes", CURE)
    for format_name in _FORMATS:
        factory, accept = Image.OPEN[format_name]
        if accept is not None and accept(data[:16]):
            picture = factory(io.BytesIO(data), "")
            break
    else:
        found = f"expected JPEG, PNG, WebP, BMP, GIF, PPM or TIFF, found a file that begins with {data[:8]!r}"
        raise bad_file(name, found, CURE)
    width, height = picture.size
    if not 0 < width * height <= decoding.max_pixels:
        expected = f"expected at most {decoding.max_pixels:,} pixels, found {width:,} × {height:,}"
        raise bad_file(name, expected, "make it smaller, or raise Decoding.max_pixels")
    return picture


def oriented(picture: Image.Image) -> bool:
    """Returns whether EXIF says that a picture is to be turned or mirrored."""
    return picture.getexif().get(_ORIENTATION, 1) != 1


def to_rgb(picture: Image.Image, name: Path) -> Image.Image:
    """Returns a picture in red, green and blue of 8 bits each.

    Raises:
        RecordError: Its values have a range that no file states, as those of 32-bit TIFF.
    """
    if picture.mode == "RGB":
        picture.load()
        return picture
    if picture.mode in _SIXTEEN_BITS:
        grey = np.asarray(picture) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        cure = "store it with 8 or 16 bits"
        raise bad_file(name, f"expected values of 8 or 16 bits, found 32 (mode {picture.mode})", cure)
    if picture.mode == "P" and "transparency" in picture.info:
        return picture.convert("RGBA").convert("RGB")  # the same colours, without Pillow's warning
    return picture.convert("RGB")
