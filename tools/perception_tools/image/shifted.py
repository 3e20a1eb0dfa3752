"""Training pictures that stay in memory and are shown moved and mirrored: the cheap augmentation of small pictures."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from perception.images.picture_input import PictureInput
from perception_datasets.images.records import Pictures
from perception_tools.training.loaders import KeptRecords

MOST_BYTES = 1 << 30
"""Memory that each reading process keeps pictures in, at most."""


class ShiftedPictures:
    """Pictures as they are shown in evaluation, moved by some pixels with a mirrored border, and mirrored by chance.

    Args:
        pictures: The training split.
        input: Resizes and normalises them.
        shift: Largest shift in each direction, pixels.
        keep: Number of pictures that stay in memory, up to `MOST_BYTES`; the others are decoded in every pass.
    """

    def __init__(self, pictures: Pictures, input: PictureInput, shift: int, keep: int) -> None:
        self.pictures, self.input, self.shift = pictures, input, shift
        size = 3 * (input.height + 2 * shift) * (input.width + 2 * shift)
        self._kept = KeptRecords(self._read, min(keep, MOST_BYTES // size))
        levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        self._values = input.normalised(levels)[:, 0]

    def show(self, index: int, rng: np.random.Generator) -> Float32[Tensor, "3 height width"]:
        """A picture, moved and mirrored as `rng` draws.

        Raises:
            InputError: It cannot be decoded.
        """
        top, left = rng.integers(0, 2 * self.shift + 1, 2)
        planes = self._kept[index][:, top : top + self.input.height, left : left + self.input.width]
        planes = planes[..., ::-1] if rng.random() < 0.5 else planes
        return torch.from_numpy(np.stack([values[plane] for values, plane in zip(self._values, planes, strict=True)]))

    def _read(self, index: int) -> UInt8[np.ndarray, "3 _ _"]:
        """The resized picture with its border, as planes of red, green and blue."""
        pixels = self.input.cropped(self.pictures.decode(self.pictures[index]))
        border = ((0, 0), (self.shift, self.shift), (self.shift, self.shift))
        return np.pad(pixels.transpose(2, 0, 1), border, mode="symmetric")
