"""What an agent did in its future, in one word: for tables and pictures that ask where a forecaster fails."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from perception.traffic.scenario import STEP_S, Scenario

MANOEUVRES = ("stationary", "straight", "left turn", "right turn", "accelerating", "braking")
"""Every label that `manoeuvre` gives, in the order in which tables show them."""

STATIONARY_M = 2.0
"""Moves less than the miss radius: forecasting no motion at all would count as a hit."""

TURN_RAD = np.deg2rad(20.0)
"""A lane bends by less than this within a few seconds at speed; a turn at an intersection bends by far more."""

ACCELERATION_MPS2 = 0.8
"""Mean over the whole future. A passenger feels this much; noise of 0.3 m over a second stays below it in 3 s."""

CHORD_M, CHORD_STEPS = 2.0, 5
"""Headings are those of chords this long at least, so that 0.3 m of tracking noise turns them by less than 10°."""

SPEED_STEPS = round(1.0 / STEP_S)
"""Speeds are means over one second."""


def manoeuvre(history: Float[np.ndarray, "past 2"], future: Float[np.ndarray, "steps 2"]) -> str:
    """One of `MANOEUVRES`, from positions alone, so that it means the same in every data set.

    The first that applies: *stationary* (ends within 2 m of the present position), a *turn* (heading changes by more
    than 20° between the present and the end), *accelerating* or *braking* (speed changes by more than 0.8 m/s² on
    average), otherwise *straight*.

    Args:
        history: Metres, without gaps; the last row is the present.
        future: Metres, the steps after the present.
    """
    path = np.concatenate([history, future])
    present, end = len(history) - 1, len(path) - 1
    moved = path[end] - path[present]
    if np.linalg.norm(moved) < STATIONARY_M:
        return "stationary"
    turned = _angle_between(_heading_at_present(path, present, moved), _heading_at_end(path, moved))
    if abs(turned) > TURN_RAD:
        return "left turn" if turned > 0 else "right turn"
    acceleration = (_speed(path, end) - _speed(path, max(present, min(SPEED_STEPS, end)))) / (len(future) * STEP_S)
    if abs(acceleration) > ACCELERATION_MPS2:
        return "accelerating" if acceleration > 0 else "braking"
    return "straight"


def manoeuvre_of(scenario: Scenario, agent: int) -> str:
    """What an agent with a complete future did, judged from the unbroken part of its history."""
    tracks, present = scenario.agents, scenario.present
    gaps = np.flatnonzero(~tracks.valid[agent, : present + 1])
    start = int(gaps[-1]) + 1 if len(gaps) else 0
    return manoeuvre(tracks.position[agent, start : present + 1], tracks.position[agent, present + 1 :])


def _heading_at_present(
    path: Float[np.ndarray, "steps 2"], present: int, moved: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, " 2"]:
    """The way it came; where it stood until now, the way it leaves."""
    came = _chord(path[present::-1])
    if came is not None:
        return -came
    leaves = _chord(path[present:])
    return moved if leaves is None else leaves


def _heading_at_end(path: Float[np.ndarray, "steps 2"], moved: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
    """The way it arrives at the last step."""
    arrived = _chord(path[::-1])
    return moved if arrived is None else -arrived


def _chord(path: Float[np.ndarray, "steps 2"]) -> Float[np.ndarray, " 2"] | None:
    """From the first point to the next that is far enough from it in space and in time; None where none is."""
    offsets = path[CHORD_STEPS:] - path[0]
    far = np.flatnonzero(np.linalg.norm(offsets, axis=1) >= CHORD_M)
    return offsets[far[0]] if len(far) else None


def _angle_between(start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]) -> float:
    """Counter-clockwise radians from one direction to the other."""
    return float(np.arctan2(start[0] * end[1] - start[1] * end[0], start @ end))


def _speed(path: Float[np.ndarray, "steps 2"], step: int) -> float:
    """Metres per second over the second before a step."""
    before = max(0, step - SPEED_STEPS)
    return float(np.linalg.norm(path[step] - path[before]) / max((step - before) * STEP_S, STEP_S))
