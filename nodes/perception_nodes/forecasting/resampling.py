"""Resamples the tracks of a stream to the 10 Hz grid that ends at the newest tick.

A log's reader (`perception_datasets.argoverse.argoverse2_sensor`) counts whole steps from sweep to sweep and takes
positions as they are, since a LiDAR's clock drifts by some milliseconds a turn. This module does the same, bit for bit,
where ticks are whole steps apart; elsewhere it interpolates positions.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.geometry import wrap_angle
from perception.traffic.scenario import STEP_S

NS_PER_STEP = round(STEP_S * 1e9)
SNAP_STEPS = 0.05
"""An interval counts as a whole number of steps if it differs by at most this share of a step (5 ms) for each step.
Intervals of the recorded logs are 96.4 to 103.3 ms. At 15 m/s 5 ms are 7 cm, less than a tracker's noise."""
LONGEST_BRIDGE_STEPS = 1.5
"""Longest interval that is interpolated: where a 10 Hz stream lost a tick, the track has a gap, as in a log."""
FASTEST_M_S = 100.0
"""A track that moves faster is another object, or the localisation jumped: its past is left out."""


def grid_coordinates(stamps_ns: Int[np.ndarray, " ticks"]) -> Float[np.ndarray, " ticks"]:
    """Returns the ticks' positions on the grid in steps: 0 for the last, -1 for a step before.

    Args:
        stamps_ns: Stamps, ascending. Positions are whole numbers unless they are irregular.
    """
    coordinates = [0.0]
    for interval_ns in np.diff(stamps_ns)[::-1].tolist():
        steps = interval_ns / NS_PER_STEP
        coordinate = coordinates[-1] - steps
        near = abs(coordinate - round(coordinate)) <= SNAP_STEPS * max(1, round(steps))
        coordinates.append(float(round(coordinate)) if near else coordinate)
    return np.array(coordinates[::-1])


def cut_jumps(
    stamps_ns: Int[np.ndarray, " ticks"],
    position: Float[np.ndarray, "tracks ticks 2"],
    seen: Bool[np.ndarray, "tracks ticks"],
) -> Bool[np.ndarray, "tracks ticks"]:
    """Returns where each track is seen since it last moved faster than `FASTEST_M_S`."""
    ticks = np.arange(len(stamps_ns))
    before = np.full(seen.shape, -1)
    before[:, 1:] = _last_seen(seen)[:, :-1]
    previous = np.take_along_axis(position, np.maximum(before, 0)[..., None], axis=1)
    elapsed_s = np.maximum((stamps_ns - stamps_ns[np.maximum(before, 0)]) / 1e9, STEP_S)
    distance = np.linalg.norm(position - previous, axis=2)
    jumped = seen & (before >= 0) & (distance > FASTEST_M_S * elapsed_s)
    last_jump = np.where(jumped, ticks, 0).max(axis=1)
    return seen & (ticks >= last_jump[:, None])


def resample(
    coordinates: Float[np.ndarray, " ticks"],
    poses: Float[np.ndarray, "tracks ticks 3"],
    seen: Bool[np.ndarray, "tracks ticks"],
    steps: int,
) -> tuple[Float[np.ndarray, "tracks {steps} 3"], Bool[np.ndarray, "tracks {steps}"]]:
    """Returns each track's x, y and heading at the grid's steps, and where they are known; 0 elsewhere.

    Args:
        coordinates: Positions of the ticks on the grid, ascending to 0.
        poses: x, y and heading; arbitrary where a track is not seen.
        seen: Which ticks a track is in.
        steps: Number of the grid's steps.
    """
    grid = np.arange(1.0 - steps, 1.0)
    at_or_before = np.searchsorted(coordinates, grid, side="right") - 1
    at_or_after = np.minimum(np.searchsorted(coordinates, grid, side="left"), len(coordinates) - 1)
    before = np.where(at_or_before >= 0, _last_seen(seen)[:, at_or_before], -1)
    after = _next_seen(seen)[:, at_or_after]
    known = (before >= 0) & (after < len(coordinates))
    before, after = np.where(known, before, 0), np.where(known, after, 0)
    bridge = coordinates[after] - coordinates[before]
    known &= bridge <= LONGEST_BRIDGE_STEPS
    share = np.where(bridge > 0, (grid - coordinates[before]) / np.where(bridge > 0, bridge, 1.0), 0.0)

    start, end = (np.take_along_axis(poses, index[..., None], axis=1) for index in (before, after))
    change = np.where(bridge[..., None] > 0, end - start, 0.0)
    change[..., 2] = wrap_angle(change[..., 2])
    return np.where(known[..., None], start + share[..., None] * change, 0.0), known


def _last_seen(seen: Bool[np.ndarray, "tracks ticks"]) -> Int[np.ndarray, "tracks ticks"]:
    """Returns for each tick the last one up to it that a track is in; -1 where there is none."""
    return np.maximum.accumulate(np.where(seen, np.arange(seen.shape[1]), -1), axis=1)


def _next_seen(seen: Bool[np.ndarray, "tracks ticks"]) -> Int[np.ndarray, "tracks ticks"]:
    """Returns for each tick the first one from it on that a track is in; the number of ticks where there is none."""
    count = seen.shape[1]
    return np.minimum.accumulate(np.where(seen, np.arange(count), count)[:, ::-1], axis=1)[:, ::-1]
