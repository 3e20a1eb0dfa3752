"""Labels the manoeuvre in an agent's future, so that tables and plots can show where a forecaster fails."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from perception.traffic.scenario import STEP_S, Scenario

MANOEUVRES = ("stationary", "straight", "left turn", "right turn", "accelerating", "braking")
"""The labels of `manoeuvre`, in the order of the tables."""

STATIONARY_M = 2.0
"""Maximum displacement of a stationary agent: the miss radius, so that a forecast of no motion counts as a hit."""

TURN_RAD = np.deg2rad(20.0)
"""Minimum change of heading in a turn. Lanes bend by less within a few seconds at speed, intersections by far more."""

ACCELERATION_MPS2 = 0.8
"""Minimum mean acceleration over the future. Passengers notice it; position noise of 0.3 m stays below it in 3 s."""

CHORD_M, CHORD_STEPS = 2.0, 5
"""Minimum length of the chords from which headings are taken; 0.3 m of tracking noise turns them by less than 10°."""

SPEED_STEPS = round(1.0 / STEP_S)
"""Number of steps over which speeds are averaged: one second."""


def manoeuvre(history: Float[np.ndarray, "past 2"], future: Float[np.ndarray, "steps 2"]) -> str:
    """Returns one of `MANOEUVRES`, from positions alone, so that labels mean the same in every data set.

    The first that applies: *stationary* (ends within 2 m of the present position), a *turn* (heading changes by more
    than 20° between the present and the end), *accelerating* or *braking* (speed changes by more than 0.8 m/s² on
    average), otherwise *straight*.

    Args:
        history: Positions without gaps, metres; the last row is the present.
        future: Positions after the present, metres.
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
    """Returns the manoeuvre of an agent with a complete future, using its history after the last gap."""
    tracks, present = scenario.agents, scenario.present
    gaps = np.flatnonzero(~tracks.valid[agent, : present + 1])
    start = int(gaps[-1]) + 1 if len(gaps) else 0
    return manoeuvre(tracks.position[agent, start : present + 1], tracks.position[agent, present + 1 :])


def _heading_at_present(
    path: Float[np.ndarray, "steps 2"], present: int, moved: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, " 2"]:
    """Returns the direction of arrival at the present step; for an agent that stood, the direction of departure."""
    arrival = _chord(path[present::-1])
    if arrival is not None:
        return -arrival
    departure = _chord(path[present:])
    return moved if departure is None else departure


def _heading_at_end(path: Float[np.ndarray, "steps 2"], moved: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
    """Returns the direction of arrival at the last step."""
    arrival = _chord(path[::-1])
    return moved if arrival is None else -arrival


def _chord(path: Float[np.ndarray, "steps 2"]) -> Float[np.ndarray, " 2"] | None:
    """Returns the offset from the first point to the next that is far enough in space and time; None if none is."""
    offsets = path[CHORD_STEPS:] - path[0]
    far = np.flatnonzero(np.linalg.norm(offsets, axis=1) >= CHORD_M)
    return offsets[far[0]] if len(far) else None


def _angle_between(start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]) -> float:
    """Returns the counter-clockwise angle between two directions in radians."""
    return float(np.arctan2(start[0] * end[1] - start[1] * end[0], start @ end))


def _speed(path: Float[np.ndarray, "steps 2"], step: int) -> float:
    """Returns the speed in m/s over the second before a step."""
    before = max(0, step - SPEED_STEPS)
    return float(np.linalg.norm(path[step] - path[before]) / max((step - before) * STEP_S, STEP_S))
