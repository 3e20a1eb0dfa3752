"""Headings of objects along their futures, which a forecast has the positions of."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

_LEAST_MOVE_M = 0.05
"""A pose of a path that is nearer to the one before keeps its heading, since the direction would be noise."""


def path_headings(
    starts: Float[np.ndarray, "paths 2"],
    facing: Float[np.ndarray, " paths"],
    trajectories: Float[np.ndarray, "paths steps 2"],
    front_known: Bool[np.ndarray, " paths"],
    axis_known: Bool[np.ndarray, " paths"],
) -> Float[np.ndarray, "paths steps"]:
    """Returns the direction of travel along each path; an object whose front is known may travel backwards.

    Where an object stands, the last direction is kept; before the first move, the present heading, or the direction of
    that move as far as the heading is not known.

    Args:
        starts: Present positions.
        facing: Present headings; NaN where there is none.
        trajectories: Positions after it.
        front_known: Whether the heading is that of the object's front.
        axis_known: Whether it is that of its axis at least.
    """
    x, y = (_steps_of(starts[:, axis], trajectories[..., axis]) for axis in (0, 1))
    far = x * x + y * y >= _LEAST_MOVE_M**2
    moving = far.any(axis=1)
    first = np.arange(len(far)), np.argmax(far, axis=1) if far.size else 0
    first_x, first_y = (np.where(moving, values[first], 0.0) if far.size else np.zeros(len(far)) for values in (x, y))
    axis_known, facing = axis_known & np.isfinite(facing), np.where(np.isfinite(facing), facing, 0.0)
    backwards = axis_known & (first_x * np.cos(facing) + first_y * np.sin(facing) < 0)
    directions = np.arctan2(y, x)
    directions[backwards & front_known] += np.pi
    facing = np.where(axis_known | ~moving, facing + np.pi * (backwards & ~front_known), np.arctan2(first_y, first_x))
    pausing = np.flatnonzero(~far.all(axis=1))
    directions[pausing] = _held(directions[pausing], far[pausing], facing[pausing])
    return directions


def _steps_of(
    starts: Float[np.ndarray, " paths"], coordinates: Float[np.ndarray, "paths steps"]
) -> Float[np.ndarray, "paths steps"]:
    """Returns the differences along each path, from its start on."""
    steps = np.empty(coordinates.shape)
    steps[:, :1] = coordinates[:, :1] - starts[:, None]
    np.subtract(coordinates[:, 1:], coordinates[:, :-1], out=steps[:, 1:])
    return steps


def _held(
    directions: Float[np.ndarray, "paths steps"],
    far: Bool[np.ndarray, "paths steps"],
    first: Float[np.ndarray, " paths"],
) -> Float[np.ndarray, "paths steps"]:
    """Returns directions where they are those of far moves, elsewhere the last such, and the first one before that."""
    last = np.maximum.accumulate(np.where(far, np.arange(far.shape[1]), -1), axis=1)
    return np.where(last >= 0, np.take_along_axis(directions, np.maximum(last, 0), axis=1), first[:, None])
