"""Cuts an object out of a cloud by its box."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64


def points_in_box(
    points: Float[np.ndarray, "points 3"],
    centre: Float[np.ndarray, " 3"],
    rotation: Float[np.ndarray, "3 3"],
    size: Float[np.ndarray, " 3"],
) -> Float64[np.ndarray, "inside 3"]:
    """Returns the points inside a box or on its sides, in the frame of the box.

    Args:
        points: The cloud, metres; points that are not finite are in no box.
        centre: Centre of the box in the cloud's frame.
        rotation: From the frame of the box to that of the cloud.
        size: Extent along the box's own axes.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        own = (points.astype(np.float64) - centre) @ rotation
        return own[(np.abs(own) <= size / 2).all(axis=1)]
