"""Directions of items as seen from a place in a room, where they are unambiguous."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from jaxtyping import Float64

from perception.geometry import wrap_angle
from perception_datasets.rooms.layout import Item

_CENTER_WITHIN_RAD = np.deg2rad(30.0)
_EDGES_WITHIN_RAD = np.deg2rad(60.0)
_OUTSIDE_RAD = np.deg2rad(55.0)


class Direction(IntEnum):
    """Direction as a number of quarter turns to the left from straight ahead."""

    FRONT = 0
    LEFT = 1
    BACK = 2
    RIGHT = 3


def bearing(start: Float64[np.ndarray, " 2"], end: Float64[np.ndarray, " 2"]) -> float:
    """Returns the direction from one point to another, in radians counter-clockwise from x."""
    return float(np.arctan2(end[1] - start[1], end[0] - start[0]))


def whereabouts(item: Item, position: Float64[np.ndarray, " 2"], heading_rad: float) -> tuple[bool | None, ...]:
    """Returns whether an item lies in each `Direction`; None if people might disagree.

    It does if its middle is within 30° of the direction and its whole footprint within 60°; it does not if its whole
    footprint is more than 55° off.
    """
    axes = heading_rad + np.array(Direction) * np.pi / 2
    low, high = item.footprint
    x, y = np.meshgrid(*np.linspace(low, high, 5).T)
    angles = np.arctan2(y.ravel() - position[1], x.ravel() - position[0])
    off = np.abs(wrap_angle(angles[:, None] - axes))
    middle = np.abs(wrap_angle(bearing(position, item.center) - axes))
    inside = (middle < _CENTER_WITHIN_RAD) & (off.max(axis=0) < _EDGES_WITHIN_RAD)
    outside = off.min(axis=0) > _OUTSIDE_RAD
    return tuple(True if i else False if o else None for i, o in zip(inside, outside, strict=True))
