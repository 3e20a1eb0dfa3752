"""Puts tracks that were seen at any times on the 10 Hz grid that ends at the newest time.

A stream's history and the reader of sensor logs use the same function, so that a stream's scenarios are those of the
recorded log. Ticks of a stream at 10 Hz are counted and taken as they are. Elsewhere positions are interpolated in true
time. Only steps between two ticks that see the track are known: a grid never extrapolates.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.geometry import wrap_angle
from perception.traffic.scenario import STEP_S

NS_PER_STEP = round(STEP_S * 1e9)
WHOLE_STEP = 0.05
"""Ticks are counted if every interval differs from a whole number of steps by at most this share of a step (5 ms)…"""
RATE_TOLERANCE, TIME_TOLERANCE_NS = 0.0035, 1_500_000
"""… and no tick is farther from its step than this share of its age, or this time. So a velocity over half a second is
right to 0.35 %, which is 0.16 m after 3 s at 15 m/s. In the recorded logs intervals are 96.4 to 103.3 ms, and ticks are
0.7 ms from their steps in the median window and 3.7 ms in the worst."""
LONGEST_BRIDGE_STEPS = 10.5
"""Maximum time between two ticks with a track, in steps, that is interpolated."""
FASTEST_M_S = 100.0
"""A track that moves faster is another object, or the localisation jumped: its past is left out."""
FARTHEST_TURN_RAD = np.pi / 3
"""A heading that turns farther between two ticks says nothing about the way between them."""


def window_ns(steps: int) -> int:
    """Returns the time before the newest tick within which ticks are used: one step more than the grid is long."""
    return (steps + 1) * NS_PER_STEP


def resample(
    stamps_ns: Int[np.ndarray, " ticks"],
    poses: Float[np.ndarray, "tracks ticks 3"],
    seen: Bool[np.ndarray, "tracks ticks"],
    steps: int,
) -> tuple[Float[np.ndarray, "tracks {steps} 3"], Bool[np.ndarray, "tracks {steps}"]]:
    """Returns each track's x, y and heading at the grid's steps, and where they are known; 0 elsewhere.

    Args:
        stamps_ns: Stamps of the ticks, ascending. The last one is the grid's last step; those more than `window_ns`
            before it are not used.
        poses: x, y and heading; arbitrary where a track is not seen.
        seen: Which ticks a track is in.
        steps: Number of the grid's steps.
    """
    used = stamps_ns >= stamps_ns[-1] - window_ns(steps)
    stamps_ns, poses, seen = stamps_ns[used], poses[:, used], seen[:, used]
    seen = _since_last_jump(stamps_ns, poses[..., :2], seen)
    coordinates, grid = grid_coordinates(stamps_ns), np.arange(1.0 - steps, 1.0)
    at_or_after = np.minimum(np.searchsorted(coordinates, grid, side="left"), len(coordinates) - 1)
    known = seen[:, at_or_after] & (coordinates[at_or_after] == grid)
    values = np.where(known[..., None], poses[:, at_or_after], 0.0)

    track, step = np.nonzero(~known)
    at_or_before = np.searchsorted(coordinates, grid, side="right") - 1
    before = np.where(at_or_before[step] >= 0, _last_seen(seen)[track, at_or_before[step]], -1)
    after = _next_seen(seen)[track, at_or_after[step]]
    between = (before >= 0) & (after < len(coordinates)) & (coordinates[at_or_after[step]] >= grid[step])
    track, step, before, after = track[between], step[between], before[between], after[between]
    bridge = coordinates[after] - coordinates[before]
    short = bridge <= LONGEST_BRIDGE_STEPS
    track, step, before, after, bridge = track[short], step[short], before[short], after[short], bridge[short]
    share = (grid[step] - coordinates[before]) / bridge
    values[track, step], known[track, step] = _between(poses[track, before], poses[track, after], share), True
    return values, known


def grid_coordinates(stamps_ns: Int[np.ndarray, " ticks"]) -> Float[np.ndarray, " ticks"]:
    """Returns the ticks' positions on the grid in steps: 0 for the last, -1 for a step before.

    Args:
        stamps_ns: Stamps, ascending. Positions are whole numbers if the stream is one of 10 Hz.
    """
    coordinates = (stamps_ns - stamps_ns[-1]) / NS_PER_STEP
    intervals = np.diff(coordinates)
    whole = np.rint(intervals)
    counted = np.concatenate([-np.cumsum(whole[::-1])[::-1], [0.0]])
    allowed = np.maximum(TIME_TOLERANCE_NS / NS_PER_STEP, -RATE_TOLERANCE * coordinates)
    regular = (whole >= 1).all() and (np.abs(intervals - whole) <= WHOLE_STEP * np.maximum(whole, 1)).all()
    return counted if regular and (np.abs(coordinates - counted) <= allowed).all() else coordinates


def _between(
    start: Float[np.ndarray, "places 3"], end: Float[np.ndarray, "places 3"], share: Float[np.ndarray, " places"]
) -> Float[np.ndarray, "places 3"]:
    """Returns poses between two others, on a curve that turns as their headings do; straight where these turn far.

    Args:
        start: x, y and heading where the way begins.
        end: The same where it ends.
        share: Which share of the time between them has passed.
    """
    way, turn = (end - start)[:, :2], wrap_angle(end[:, 2] - start[:, 2])
    half = np.where(np.abs(turn) <= FARTHEST_TURN_RAD, turn / 2, 0.0)
    # A Hermite curve whose tangents are the way, turned by half the turn to either side.
    aside, short = np.sin(half) * share * (1 - share), (1 - np.cos(half)) * share * (1 - share) * (2 * share - 1)
    x, y = way.T
    position = start[:, :2] + share[:, None] * way + np.stack([aside * y + short * x, short * y - aside * x], axis=1)
    return np.column_stack([position, start[:, 2] + share * turn])


def _since_last_jump(
    stamps_ns: Int[np.ndarray, " ticks"],
    position: Float[np.ndarray, "tracks ticks 2"],
    seen: Bool[np.ndarray, "tracks ticks"],
) -> Bool[np.ndarray, "tracks ticks"]:
    """Returns where each track is seen since it last moved faster than `FASTEST_M_S`."""
    # Whoever is below the limit from each tick to the next, whether it is seen there or not, did not jump.
    farthest = FASTEST_M_S * np.diff(stamps_ns) / 1e9
    moved = np.diff(position, axis=1)
    suspects = np.flatnonzero((moved[..., 0] ** 2 + moved[..., 1] ** 2 > farthest**2).any(axis=1))
    if not len(suspects):
        return seen
    ticks, position, suspected = np.arange(len(stamps_ns)), position[suspects], seen[suspects]
    before = np.full(suspected.shape, -1)
    before[:, 1:] = _last_seen(suspected)[:, :-1]
    previous = np.take_along_axis(position, np.maximum(before, 0)[..., None], axis=1)
    elapsed_s = np.maximum((stamps_ns - stamps_ns[np.maximum(before, 0)]) / 1e9, STEP_S)
    jumped = suspected & (before >= 0) & (np.linalg.norm(position - previous, axis=2) > FASTEST_M_S * elapsed_s)
    last_jump = np.where(jumped, ticks, 0).max(axis=1)
    seen = seen.copy()
    seen[suspects] = suspected & (ticks >= last_jump[:, None])
    return seen


def _last_seen(seen: Bool[np.ndarray, "tracks ticks"]) -> Int[np.ndarray, "tracks ticks"]:
    """Returns for each tick the last one up to it that a track is in; -1 where there is none."""
    return np.maximum.accumulate(np.where(seen, np.arange(seen.shape[1]), -1), axis=1)


def _next_seen(seen: Bool[np.ndarray, "tracks ticks"]) -> Int[np.ndarray, "tracks ticks"]:
    """Returns for each tick the first one from it on that a track is in; the number of ticks where there is none."""
    count = seen.shape[1]
    return np.minimum.accumulate(np.where(seen, np.arange(count), count)[:, ::-1], axis=1)[:, ::-1]
