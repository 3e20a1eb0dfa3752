"""A picture of a camera, decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        id: Name in its data set or stream.
        pixels: Red, green and blue, row by row from the top left, as sRGB encodes them.
    """

    id: str
    pixels: UInt8[np.ndarray, "height width 3"]
