"""A picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from perception.errors import InputError


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in sRGB.

    Attributes:
        id: Its name, unique in its data set.
        pixels: Red, green and blue; the first row is the top one.
    """

    id: str
    pixels: UInt8[np.ndarray, "height width 3"]

    def __post_init__(self) -> None:
        """Checks what readers give, also where annotations are not checked."""
        pixels = self.pixels
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise InputError(
                f"picture {self.id}: expected pixels of type uint8 and shape (height, width, 3), "
                f"got {pixels.dtype} and {pixels.shape}; convert it to RGB"
            )
