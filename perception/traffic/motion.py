"""Estimates heading and velocity from positions for data sets that lack them (Argoverse 1; velocity in sensor logs).

Every value is computed from the same and earlier steps only, so that inputs contain no information from the future. The
start of a track has no earlier steps and takes the next known value, but never one from after the present.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.traffic.scenario import STEP_S

# Argoverse 1's positions have 0.1-0.2 m of noise (residual of a quadratic fit over 1.5 s on val scenes). Compared with
# such a fit, the displacement over 0.5 s had the smallest error of the windows from 0.1 to 1.0 s: half the velocity
# error of a single step. Below 1 m of displacement the direction is mostly noise.
VELOCITY_STEPS = 5
HEADING_STEPS = (5, 7, 10, 14, 20, 3, 2, 1)  # in order of preference; the short ones are for young tracks
MIN_DISPLACEMENT_M = 1.0


def causal_velocity(
    position: Float[np.ndarray, "agents steps 2"],
    valid: Bool[np.ndarray, "agents steps"],
    present: int,
    over_steps: int = VELOCITY_STEPS,
) -> Float[np.ndarray, "agents steps 2"]:
    """Returns the mean velocity in m/s over the last `over_steps` steps, or fewer if the track is shorter."""
    velocity = np.zeros_like(position)
    known = np.zeros_like(valid)
    for back in range(min(over_steps, valid.shape[1] - 1), 0, -1):
        usable = valid[:, back:] & valid[:, :-back] & ~known[:, back:]
        moved = position[:, back:] - position[:, :-back]
        velocity[:, back:][usable] = moved[usable] / (back * STEP_S)
        known[:, back:] |= usable
    source = _hold(known, present)
    return np.take_along_axis(velocity, source[..., None], axis=1) * valid[..., None]


def causal_heading(
    position: Float[np.ndarray, "agents steps 2"], valid: Bool[np.ndarray, "agents steps"], present: int
) -> tuple[Float[np.ndarray, "agents steps"], Bool[np.ndarray, "agents steps"]]:
    """Returns the direction of the last metre or more of travel, and a mask of the steps where it is known.

    The direction is held while an agent stands. It is unknown until the agent has moved.
    """
    heading = np.zeros(valid.shape)
    known = np.zeros_like(valid)
    for back in HEADING_STEPS:
        if back >= valid.shape[1]:
            continue
        moved = position[:, back:] - position[:, :-back]
        far = (moved**2).sum(axis=2) >= MIN_DISPLACEMENT_M**2
        usable = valid[:, back:] & valid[:, :-back] & far & ~known[:, back:]
        heading[:, back:][usable] = np.arctan2(moved[usable][:, 1], moved[usable][:, 0])
        known[:, back:] |= usable
    source = _hold(known, present)
    held = np.take_along_axis(known, source, axis=1) & valid
    return np.take_along_axis(heading, source, axis=1) * held, held


def _hold(known: Bool[np.ndarray, "agents steps"], present: int) -> Int[np.ndarray, "agents steps"]:
    """Returns the step to take each step's value from: the last known step, or the first known step of the history."""
    steps = np.arange(known.shape[1])
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    first = known[:, : present + 1].argmax(axis=1)  # 0, an unknown step, if no step of the history is known
    return np.where(last >= 0, last, np.where(steps <= present, first[:, None], steps))
