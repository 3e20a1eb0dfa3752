"""Random resized crops for training, decoded no further than a crop needs.

A JPEG picture is stored as blocks of 8 × 8 pixels, which libjpeg can decode at 1/2, 1/4 or 1/8 of their size. Where the
crop is at least that much larger than what the model takes, nothing finer is decoded. The crop is then resized by
torch's kernel for uint8, which agrees with Pillow's to two levels of 255 and is faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from perception.errors import InputError
from perception_datasets.errors import reading
from perception_datasets.images.decoding import CURE, Decoding, open_encoded, oriented, to_rgb

Interpolation = Literal["bilinear", "bicubic"]
_ATTEMPTS = 10
_REDUCTIONS = (8, 4, 2)


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def snapped(self, step: int) -> Box:
        """Returns the box that starts at the multiple of a step before this one's start, and is that much smaller."""
        return Box(*(value - value % step for value in (self.left, self.top, self.width, self.height)))


@dataclass(frozen=True)
class RandomResizedCrop:
    """A random part of a picture, resized to a square and mirrored by chance (https://arxiv.org/abs/1409.4842).

    Draws as torchvision's transform of this name does.

    Attributes:
        size: Height and width of the result.
        scale: Smallest and largest share of the picture's area.
        ratio: Smallest and largest width divided by height.
        mirror: Probability of a horizontal mirror image.
        interpolation: Both kinds average over what they shrink.
        reduce: Decodes JPEG at 1/2, 1/4 or 1/8 where the crop is that much larger than `size`; the crop is then
            moved by less than 8 pixels. Otherwise every pixel is decoded, as torchvision does.
    """

    size: int = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: float = 0.5
    interpolation: Interpolation = "bicubic"
    reduce: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"size: expected at least 1 pixel, got {self.size}")
        for name, (low, high), largest in (("scale", self.scale, 1.0), ("ratio", self.ratio, math.inf)):
            if not 0 < low <= high <= largest:
                raise InputError(f"{name}: expected 0 < low ≤ high ≤ {largest:g}, got {low:g} and {high:g}")
        if not 0 <= self.mirror <= 1:
            raise InputError(f"mirror: expected a probability, got {self.mirror:g}")

    def draw(self, width: int, height: int, rng: np.random.Generator) -> Box:
        """Draws a part of a picture; the largest one in the middle of a fitting ratio if ten draws do not fit in it."""
        low, high = np.log(self.ratio)
        for _ in range(_ATTEMPTS):
            area = width * height * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(low, high))
            across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < across <= width and 0 < down <= height:
                left, top = rng.integers(0, width - across + 1), rng.integers(0, height - down + 1)
                return Box(int(left), int(top), across, down)
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        across, down = min(width, round(height * ratio)), min(height, round(width / ratio))
        return Box((width - across) // 2, (height - down) // 2, max(across, 1), max(down, 1))

    def decode(
        self, data: bytes, name: Path, rng: np.random.Generator, decoding: Decoding | None = None
    ) -> UInt8[np.ndarray, "3 size size"]:
        """Decodes a crop, as planes of red, green and blue.

        Args:
            data: Content of the file.
            name: What to call it in a message.
            rng: Draws the crop and whether it is mirrored.
            decoding: Limits; see `perception_datasets.images.decoding.decode_pixels`.

        Raises:
            RecordError: The picture cannot be decoded.
        """
        decoding = decoding or Decoding()
        with reading(name, CURE):
            picture: Image.Image = open_encoded(data, name, decoding)
            if decoding.exif_transpose and oriented(picture):
                picture = ImageOps.exif_transpose(picture)
            box = self.draw(*picture.size, rng)
            mirrored = rng.random() < self.mirror
            reduction = self.reduction(box) if isinstance(picture, JpegImageFile) else 1
            planes = self.cut(picture, box.snapped(reduction), reduction, name)
        return np.ascontiguousarray(planes[..., ::-1]) if mirrored else planes

    def reduction(self, box: Box) -> int:
        """Returns by what a JPEG picture is reduced when it is decoded for this part: 1, 2, 4 or 8."""
        fits = (r for r in _REDUCTIONS if self.reduce and min(box.width, box.height) // r >= self.size)
        return next(fits, 1)

    def cut(self, picture: Image.Image, box: Box, reduction: int, name: Path) -> UInt8[np.ndarray, "3 size size"]:
        """Decodes a part and resizes it; to be called inside `reading`.

        Args:
            picture: A picture of which only the header is read.
            box: The part, which a reduction divides.
            reduction: By what the picture is reduced when it is decoded; 1 unless it is JPEG.
            name: What to call it in a message.
        """
        if reduction > 1:
            picture.draft(picture.mode, (picture.width // reduction, picture.height // reduction))
        left, top, width, height = (v // reduction for v in (box.left, box.top, box.width, box.height))
        part = picture.crop((left, top, left + width, top + height))
        part.info = picture.info  # a palette's transparency
        return self._resize(np.array(to_rgb(part, name)))

    def _resize(self, pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "3 size size"]:
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        resized = F.interpolate(planes, (self.size, self.size), mode=self.interpolation, antialias=True)
        return resized[0].contiguous().numpy()
