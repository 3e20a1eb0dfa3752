"""Tracks from a stream's frames onto the 10 Hz grid that ends at the newest frame.

A log's reader (`perception_datasets.argoverse.argoverse2_sensor`) counts whole steps from frame to frame and takes
positions as they are, since a LiDAR's clock wanders by some milliseconds a turn. So does this, bit for bit, wherever
frames are whole steps apart; where they are not, positions are interpolated.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.geometry import wrap_angle
from perception.traffic.scenario import STEP_S

NS_PER_STEP = round(STEP_S * 1e9)
SNAP_STEPS = 0.05
"""An interval counts as a whole number of steps when it is within this of it, for each step; 5 ms a step. The recorded
logs' intervals are 96.4 to 103.3 ms. At 15 m/s 5 ms are 7 cm, less than a tracker's noise."""
LONGEST_BRIDGE_STEPS = 1.5
"""Interpolation bridges no more than this: where a 10 Hz stream lost a frame, the track has a gap, as in a log."""
FASTEST_M_S = 100.0
"""A track that moves faster is not the same object any more (or the localisation jumped): its past is left out."""


def grid_coordinates(stamps_ns: Int[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
    """Where frames stand on the grid: 0 the last, -1 a step before; whole numbers unless the stream is irregular.

    Args:
        stamps_ns: Ascending.
    """
    coordinates = [0.0]
    for interval_ns in np.diff(stamps_ns)[::-1].tolist():
        steps = interval_ns / NS_PER_STEP
        coordinate = coordinates[-1] - steps
        near = abs(coordinate - round(coordinate)) <= SNAP_STEPS * max(1, round(steps))
        coordinates.append(float(round(coordinate)) if near else coordinate)
    return np.array(coordinates[::-1])


def cut_jumps(
    stamps_ns: Int[np.ndarray, " frames"],
    position: Float[np.ndarray, "tracks frames 2"],
    seen: Bool[np.ndarray, "tracks frames"],
) -> Bool[np.ndarray, "tracks frames"]:
    """Where a track is seen since it last moved faster than `FASTEST_M_S`."""
    frames = np.arange(len(stamps_ns))
    before = np.full(seen.shape, -1)
    before[:, 1:] = _last_seen(seen)[:, :-1]
    previous = np.take_along_axis(position, np.maximum(before, 0)[..., None], axis=1)
    elapsed_s = np.maximum((stamps_ns - stamps_ns[np.maximum(before, 0)]) / 1e9, STEP_S)
    distance = np.linalg.norm(position - previous, axis=2)
    jumped = seen & (before >= 0) & (distance > FASTEST_M_S * elapsed_s)
    last_jump = np.where(jumped, frames, 0).max(axis=1)
    return seen & (frames >= last_jump[:, None])


def resample(
    coordinates: Float[np.ndarray, " frames"],
    poses: Float[np.ndarray, "tracks frames 3"],
    seen: Bool[np.ndarray, "tracks frames"],
    steps: int,
) -> tuple[Float[np.ndarray, "tracks {steps} 3"], Bool[np.ndarray, "tracks {steps}"]]:
    """Each track's x, y and heading at the last so many steps, and where they are known; 0 where not.

    Args:
        coordinates: Of the frames on the grid, ascending to 0.
        poses: x, y, heading; anything where a track is not seen.
        seen: Which frames a track is in.
        steps: Of the grid.
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


def _last_seen(seen: Bool[np.ndarray, "tracks frames"]) -> Int[np.ndarray, "tracks frames"]:
    """For each frame the last one up to it that a track is in; -1 where there is none."""
    return np.maximum.accumulate(np.where(seen, np.arange(seen.shape[1]), -1), axis=1)


def _next_seen(seen: Bool[np.ndarray, "tracks frames"]) -> Int[np.ndarray, "tracks frames"]:
    """For each frame the first one from it on that a track is in; the number of frames where there is none."""
    count = seen.shape[1]
    return np.minimum.accumulate(np.where(seen, np.arange(count), count)[:, ::-1], axis=1)[:, ::-1]
