"""Planar curves for roads, sampled about every metre in driving direction."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from jaxtyping import Float

SPACING_M = 1.0


def length_of(line: Float[np.ndarray, "points 2"]) -> float:
    """Returns the arc length in metres."""
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def road_axis(
    start: Float[np.ndarray, " 2"], heading_rad: float, length_m: float, turn_rad: float
) -> Float[np.ndarray, "points 2"]:
    """Returns the axis of a road that starts straight and then turns by `turn_rad` with smoothly varying curvature."""
    steps = round(length_m / SPACING_M)
    share = np.clip((np.arange(steps) + 0.5) / steps * 1.2 - 0.2, 0.0, 1.0)
    heading = heading_rad + turn_rad * (share - np.sin(2 * np.pi * share) / (2 * np.pi))
    pieces = length_m / steps * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    return np.concatenate([start[None], start + np.cumsum(pieces, axis=0)])


def offset(line: Float[np.ndarray, "points 2"], to_left_m: float) -> Float[np.ndarray, "points 2"]:
    """Returns the parallel curve at a distance to the left (negative: to the right)."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    return line + to_left_m * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def split(line: Float[np.ndarray, "points 2"], about_m: float) -> list[Float[np.ndarray, "_ 2"]]:
    """Splits a line into pieces of about `about_m` metres; consecutive pieces share a point."""
    count = max(1, round(length_of(line) / about_m))
    cuts = np.linspace(0, len(line) - 1, count + 1).round().astype(int)
    return [line[a : b + 1] for a, b in pairwise(cuts)]


def bezier(
    start: Float[np.ndarray, " 2"],
    start_direction: Float[np.ndarray, " 2"],
    end: Float[np.ndarray, " 2"],
    end_direction: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, "points 2"]:
    """Returns a cubic Bézier curve between two points that starts and ends in the given directions."""
    chord = float(np.linalg.norm(end - start))
    handle = 0.39 * chord  # makes a right-angled turn almost a circular arc
    first = start + handle * start_direction / np.linalg.norm(start_direction)
    second = end - handle * end_direction / np.linalg.norm(end_direction)
    t = np.linspace(0.0, 1.0, max(4, round(1.1 * chord / SPACING_M)))[:, None]
    return (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3 * end
