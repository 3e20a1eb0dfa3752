"""What a model sees of a picture in evaluation and service.

These are the values of timm's `create_transform(is_training=False)`, by the same library: the shorter side is resized
to size / crop_pct by Pillow's bicubic filter, which is antialiased, then the centre is cropped and normalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from perception.errors import InputError
from perception.images.image import Picture

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue, from 0 to 1."""
MAX_SIDE = 2**15
"""Maximum side of a resized picture in pixels; one that is much longer than wide would take gigabytes."""


@dataclass(frozen=True)
class PictureInput:
    """How pictures become what an encoder reads: the centre, resized and normalised.

    Attributes:
        height: Number of rows in pixels.
        width: Number of columns in pixels.
        crop_pct: Side of the crop over that of the resized picture: 0.875 for ImageNet, 1 where pictures are small.
        mean: Mean of each colour, from 0 to 1.
        std: Standard deviation of each colour.
    """

    height: int
    width: int
    crop_pct: float = 0.875
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 0 < self.crop_pct <= 1:
            raise InputError(f"crop_pct: expected a number above 0, up to 1, got {self.crop_pct}")

    def prepare(self, picture: Picture) -> Float32[Tensor, "3 height width"]:
        """Returns `prepare_array` as a tensor. Nothing else here imports PyTorch.

        Raises:
            InputError: The picture is too long and narrow.
        """
        import torch

        return torch.from_numpy(self.prepare_array(picture))

    def prepare_array(self, picture: Picture) -> Float32[np.ndarray, "3 height width"]:
        """Returns the normalised centre.

        Raises:
            InputError: The picture is too long and narrow.
        """
        return self.normalised(self.cropped(picture))

    def normalised(self, pixels: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "3 height width"]:
        """Returns the values of red, green and blue as the encoder reads them."""
        planes = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
        planes /= np.float32(255)
        planes -= np.array(self.mean, np.float32)[:, None, None]
        planes /= np.array(self.std, np.float32)[:, None, None]
        return planes

    def cropped(self, picture: Picture) -> UInt8[np.ndarray, "height width 3"]:
        """Returns the resized centre, as it is before it is normalised.

        Raises:
            InputError: The picture is too long and narrow.
        """
        from PIL import Image

        rows, columns = self._resized_size(*picture.pixels.shape[:2])
        if max(rows, columns) > MAX_SIDE:
            raise InputError(
                f"picture {picture.id}: expected one that is at most {MAX_SIDE} pixels long after resizing, got "
                f"{picture.pixels.shape[0]} × {picture.pixels.shape[1]} pixels, which become {rows} × {columns}; "
                "crop it first"
            )
        image = Image.fromarray(picture.pixels)
        if (rows, columns) != picture.pixels.shape[:2]:
            image = image.resize((columns, rows), Image.Resampling.BICUBIC)
        return np.array(image.crop(self._centre(rows, columns)))

    def cropped_mask(self, mask: Bool[np.ndarray, "_ _"]) -> Bool[np.ndarray, "height width"]:
        """Returns what is seen of a mask of a picture's pixels: resized to the nearest pixel, and cropped alike."""
        from PIL import Image

        rows, columns = self._resized_size(*mask.shape)
        image = Image.fromarray(mask.astype(np.uint8)).resize((columns, rows), Image.Resampling.NEAREST)
        return np.array(image.crop(self._centre(rows, columns))).astype(bool)

    def _centre(self, rows: int, columns: int) -> tuple[int, int, int, int]:
        """Returns left, top, right and bottom of what is seen of a resized picture."""
        top, left = round((rows - self.height) / 2.0), round((columns - self.width) / 2.0)
        return left, top, left + self.width, top + self.height

    def _resized_size(self, rows: int, columns: int) -> tuple[int, int]:
        """Returns rows and columns after resizing, rounded as torchvision does for a square and timm for others."""
        height, width = (math.floor(side / self.crop_pct) for side in (self.height, self.width))
        if height == width:
            shorter, longer = min(rows, columns), max(rows, columns)
            resized = int(height * longer / shorter)
            return (height, resized) if rows <= columns else (resized, height)
        ratio = min(rows / height, columns / width)
        return round(rows / ratio), round(columns / ratio)
