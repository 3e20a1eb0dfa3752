"""Random resized crops for training, decoded no further than a crop needs.

A JPEG picture is stored as blocks of 8 × 8 pixels, which libjpeg can decode at 1/2, 1/4 or 1/8 of their size. Where the
crop is at least that much larger than what the model takes, nothing finer is decoded. The crop is then resized by
torch's kernel for uint8, which agrees with Pillow's to one level of 255 and is faster.
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
Effort = Literal["exact", "reduced", "fast"]
_ATTEMPTS = 10
_REDUCTIONS = (8, 4, 2)


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


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
        effort: `exact` decodes every pixel, as torchvision does. `reduced` decodes JPEG at 1/2, 1/4 or 1/8 where the
            crop is that much larger than `size`. `fast` also takes libjpeg's fast transform, and repeats colours
            where the file stores fewer of them than pixels instead of interpolating them.
    """

    size: int = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    mirror: float = 0.5
    interpolation: Interpolation = "bicubic"
    effort: Effort = "reduced"

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
            turned = decoding.exif_transpose and oriented(picture)
            if turned:
                picture = ImageOps.exif_transpose(picture)
            box = self.draw(*picture.size, rng)
            mirrored = rng.random() < self.mirror
            if isinstance(picture, JpegImageFile) and not turned:
                box = self._reduce(picture, box)
            part = picture.crop((box.left, box.top, box.left + box.width, box.top + box.height))
            part.info = picture.info
            planes = self._resize(np.array(to_rgb(part, name)))
        return np.ascontiguousarray(planes[..., ::-1]) if mirrored else planes

    def _reduce(self, picture: JpegImageFile, box: Box) -> Box:
        """Sets at which size a picture is decoded; returns the crop there.

        The crop is moved and resized by less than the reduction, so that it starts and ends at a pixel.
        """
        if self.effort == "exact":
            return box
        fits = (r for r in _REDUCTIONS if min(box.width, box.height) >= r * self.size)
        reduction = next(fits, 1)
        if reduction > 1:
            picture.draft(picture.mode, (picture.width // reduction, picture.height // reduction))
            box = Box(*(value // reduction for value in (box.left, box.top, box.width, box.height)))
        if self.effort == "fast":
            picture.decoderconfig = (reduction, 1)  # Pillow's name for the second is `draft`, in JpegDecode.c
        return box

    def _resize(self, pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "3 size size"]:
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        resized = F.interpolate(planes, (self.size, self.size), mode=self.interpolation, antialias=True)
        return resized[0].contiguous().numpy()
