"""A clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from perception.errors import InputError


@dataclass(frozen=True, eq=False)
class Clip:
    """Images of a video in sRGB, in the order of time.

    Attributes:
        id: Its name, unique in its data set.
        images: Red, green and blue; the first row of an image is the top one.
    """

    id: str
    images: UInt8[np.ndarray, "time height width 3"]

    def __post_init__(self) -> None:
        """Checks what readers give, also where annotations are not checked."""
        images = self.images
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or not images.size:
            raise InputError(
                f"clip {self.id}: expected images of type uint8 and shape (time, height, width, 3), "
                f"got {images.dtype} and {images.shape}; convert them to RGB"
            )
