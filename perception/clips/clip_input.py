"""What a model sees of a clip in evaluation and service.

As in VideoMAE's evaluation the shorter side is resized to the model's size and a square is cut out: the middle, or for
several views squares along the longer side. Resizing is bilinear with an antialiasing filter; VideoMAE's has none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

from perception.clips.clip import Clip
from perception.clips.sampling import middle_images
from perception.errors import InputError
from perception.images.picture_input import IMAGENET_MEAN, IMAGENET_STD, MAX_SIDE


@dataclass(frozen=True)
class ClipInput:
    """How clips become what an encoder reads: some of their images, resized, cut to a square and normalised.

    Attributes:
        images: Number of images.
        size: Number of rows and columns in pixels.
        mean: Mean of each colour, from 0 to 1.
        std: Standard deviation of each colour.
    """

    images: int
    size: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def prepare(self, clip: Clip) -> Float32[Tensor, "3 images size size"]:
        """Returns the normalised middle, in space and time.

        Raises:
            InputError: The images are too long and narrow.
        """
        return self.squares(clip, 1)[0]

    def middle(self, clip: Clip) -> UInt8[Tensor, "images 3 size size"]:
        """Returns the middle square of each image, not yet normalised: images can be kept so until a clip is full.

        Raises:
            InputError: The images are too long and narrow.
        """
        return self._square(self._resized(clip.id, clip.images), 0.5)

    def squares(self, clip: Clip, count: int) -> list[Float32[Tensor, "3 images size size"]]:
        """Returns squares along the longer side, from its beginning to its end; if there is one, the middle.

        Args:
            clip: A clip; of one with another number of images, those in the middles of its segments are seen.
            count: Number of squares.

        Raises:
            InputError: The images are too long and narrow.
        """
        images = clip.images
        if len(images) != self.images:
            images = images[middle_images(len(images), self.images)]
        planes = self._resized(clip.id, images)
        parts = [number / (count - 1) if count > 1 else 0.5 for number in range(count)]
        return [self.normalised(self._square(planes, part)) for part in parts]

    def normalised(self, planes: UInt8[Tensor, "images 3 size size"]) -> Float32[Tensor, "3 images size size"]:
        """Returns pixels from 0 to 255 as the encoder reads them."""
        mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (self.mean, self.std))
        return planes.transpose(0, 1).to(torch.float32).div_(255).sub_(mean).div_(std).contiguous()

    def _square(self, planes: UInt8[Tensor, "images 3 _ _"], part: float) -> UInt8[Tensor, "images 3 size size"]:
        """Returns the square after this part of the way along the longer side."""
        height, width = planes.shape[2:]
        top, left = round(part * (height - self.size)), round(part * (width - self.size))
        return planes[:, :, top : top + self.size, left : left + self.size]

    def _resized(self, name: str, images: UInt8[np.ndarray, "images _ _ 3"]) -> UInt8[Tensor, "images 3 _ _"]:
        rows, columns = images.shape[1:3]
        scale = self.size / min(rows, columns)
        height, width = (max(round(side * scale), self.size) for side in (rows, columns))
        if max(height, width) > MAX_SIDE:
            raise InputError(
                f"clip {name}: expected images that are at most {MAX_SIDE} pixels long after resizing, got {rows} × "
                f"{columns} pixels, which become {height} × {width}; crop them first"
            )
        planes = torch.from_numpy(images).permute(0, 3, 1, 2)
        if (height, width) == (rows, columns):
            return planes
        return F.interpolate(planes, (height, width), mode="bilinear", antialias=True)
