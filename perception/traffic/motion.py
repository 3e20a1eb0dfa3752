"""Estimates motion from tracks: headings and velocities that data sets lack, and how an object moves at present.

Headings and velocities are for data sets that lack them (Argoverse 1; velocity in sensor logs). Every value is computed
from the same and earlier steps only, so that inputs contain no information from the future. The start of a track has no
earlier steps and takes the next known value, but never one from after the present.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.geometry import wrap_angle
from perception.traffic.scenario import STEP_S

# Argoverse 1's positions have 0.1-0.2 m of noise (residual of a quadratic fit over 1.5 s on val scenes). Compared with
# such a fit, the displacement over 0.5 s had the smallest error of the windows from 0.1 to 1.0 s: half the velocity
# error of a single step. Below 1 m of displacement the direction is mostly noise.
VELOCITY_STEPS = 5
HEADING_STEPS = (5, 7, 10, 14, 20, 3, 2, 1)  # in order of preference; the short ones are for young tracks
MIN_DISPLACEMENT_M = 1.0

REGRESSION_STEPS = 5
"""Number of steps of a regressed velocity. Going on with it misses by 5.74 m after 3 s on AGENTs of Argoverse 1's train
scenes (best of 3 to 15 steps: 5.71 at 7) and of 3.86 m on vehicles of sensor logs, whose tracks are smoother
(best: 3.46 at 1, 4.05 at 7). The displacement over 5 steps has 5.82 and over 3 steps 6.16 m."""
TURN_STEPS = 10
"""Number of steps over which a turn rate is measured."""
REST_STEPS, REST_NEWEST, REST_LEAST = 20, 3, 5
"""An object is at rest if the mean of its newest positions is where the mean of those before was: number of steps
that are looked at, number of the newest among them, and number that must be seen."""
REST_M = 0.055
"""Maximum distance of the two means in metres: 4.5 times their spread if positions tremble by 2 cm. A car that starts
with 1 m/s² is farther after 0.5 s."""


def causal_velocity(
    position: Float[np.ndarray, "agents steps 2"],
    valid: Bool[np.ndarray, "agents steps"],
    present: int,
    over_steps: int = VELOCITY_STEPS,
) -> Float[np.ndarray, "agents steps 2"]:
    """Returns the mean velocity in m/s over the last `over_steps` steps, or fewer if the track is shorter."""
    seen = np.ascontiguousarray(valid.T)  # steps first: their slices are contiguous then, which halves the time
    back = np.zeros(seen.shape, np.int64)
    for steps in range(min(over_steps, len(seen) - 1), 0, -1):
        usable = seen[steps:] & seen[:-steps] & (back[steps:] == 0)
        back[steps:][usable] = steps
    moved, back = _held_displacement(position, back.T, present)
    known = valid & (back > 0)
    return np.where(known[..., None], moved / (np.maximum(back, 1) * STEP_S)[..., None], 0.0)


def causal_heading(
    position: Float[np.ndarray, "agents steps 2"], valid: Bool[np.ndarray, "agents steps"], present: int
) -> tuple[Float[np.ndarray, "agents steps"], Bool[np.ndarray, "agents steps"]]:
    """Returns the direction of the last metre or more of travel, and a mask of the steps where it is known.

    The direction is held while an agent stands. It is unknown until the agent has moved.
    """
    x, y, seen = (np.ascontiguousarray(values.T) for values in (position[..., 0], position[..., 1], valid))
    back = np.zeros(seen.shape, np.int64)
    for steps in HEADING_STEPS:
        if steps >= len(seen):
            continue
        squared = (x[steps:] - x[:-steps]) ** 2 + (y[steps:] - y[:-steps]) ** 2
        usable = seen[steps:] & seen[:-steps] & (squared >= MIN_DISPLACEMENT_M**2) & (back[steps:] == 0)
        back[steps:][usable] = steps
    moved, back = _held_displacement(position, back.T, present)
    known = valid & (back > 0)
    heading = np.zeros(valid.shape)
    heading[known] = np.arctan2(moved[known][:, 1], moved[known][:, 0])
    return heading, known


def _held_displacement(
    position: Float[np.ndarray, "agents steps 2"], back: Int[np.ndarray, "agents steps"], present: int
) -> tuple[Float[np.ndarray, "agents steps 2"], Int[np.ndarray, "agents steps"]]:
    """Returns the displacement over the last `back` steps, held where that is 0, and the number of steps it is over."""
    points, steps = position.reshape(-1, 2), position.shape[1]
    end = steps * np.arange(len(back))[:, None] + _hold(back > 0, present)
    back = back.ravel()[end]
    return points.take(end, axis=0) - points.take(end - back, axis=0), back


def regressed_velocity(
    position: Float[np.ndarray, "agents steps 2"], valid: Bool[np.ndarray, "agents steps"]
) -> tuple[Float[np.ndarray, "agents 2"], Float[np.ndarray, " agents"], Int[np.ndarray, " agents"]]:
    """Returns the velocity that fits the last `REGRESSION_STEPS` steps best, how old it is, and how many steps it fits.

    Args:
        position: Positions, the last step at present.
        valid: Where they are known.

    Returns:
        Velocities in m/s, 0 where fewer than two steps are known; the mean age of the positions in seconds; and the
        number of steps.
    """
    position, valid = position[:, -REGRESSION_STEPS - 1 :], valid[:, -REGRESSION_STEPS - 1 :]
    slope, age_s = _slope(position - position[:, -1:], valid)
    return slope, age_s, valid.sum(axis=1)


def regressed_turn_rate(
    heading: Float[np.ndarray, "agents steps"], valid: Bool[np.ndarray, "agents steps"]
) -> tuple[Float[np.ndarray, " agents"], Int[np.ndarray, " agents"]]:
    """Returns the turn rate in rad/s that fits the headings of the last `TURN_STEPS` steps best.

    Args:
        heading: Headings, the last step at present.
        valid: Where they are known.

    Returns:
        Rates, 0 where fewer than two steps are known; and the number of steps.
    """
    heading, valid = heading[:, -TURN_STEPS - 1 :], valid[:, -TURN_STEPS - 1 :]
    change = wrap_angle(heading - heading[:, -1:])
    rate, _ = _slope(change[..., None], valid)
    return rate[:, 0], valid.sum(axis=1)


def at_rest(
    position: Float[np.ndarray, "agents steps 2"], valid: Bool[np.ndarray, "agents steps"]
) -> Bool[np.ndarray, " agents"]:
    """Returns which agents have not moved beyond noise (`REST_M`) lately; those seen too few times are not at rest.

    Args:
        position: Positions, the last step at present.
        valid: Where they are known.
    """
    position, valid = position[:, -REST_STEPS:] - position[:, -1:], valid[:, -REST_STEPS:]
    weight = valid.astype(float)
    before, newest = (
        (position[:, part] * weight[:, part, None]).sum(axis=1) / np.maximum(weight[:, part].sum(axis=1), 1.0)[:, None]
        for part in (slice(None, -REST_NEWEST), slice(-REST_NEWEST, None))
    )
    enough = (valid.sum(axis=1) >= REST_LEAST) & valid[:, :-REST_NEWEST].any(axis=1)
    return enough & (np.linalg.norm(newest - before, axis=1) <= REST_M)


def _slope(
    values: Float[np.ndarray, "agents steps dims"], valid: Bool[np.ndarray, "agents steps"]
) -> tuple[Float[np.ndarray, "agents dims"], Float[np.ndarray, " agents"]]:
    """Returns the slope of a line through the valid values per second, 0 for fewer than two, and their mean age."""
    weight, time_s = valid.astype(float), STEP_S * np.arange(1.0 - valid.shape[1], 1.0)
    mean_s = (weight @ time_s) / np.maximum(weight.sum(axis=1), 1.0)
    lever = weight * (time_s - mean_s[:, None])
    moment = (lever * time_s).sum(axis=1)
    slope = np.einsum("as,asd->ad", lever, values) / np.where(moment > 0, moment, 1.0)[:, None]
    return np.where((valid.sum(axis=1) > 1)[:, None], slope, 0.0), -mean_s


def _hold(known: Bool[np.ndarray, "agents steps"], present: int) -> Int[np.ndarray, "agents steps"]:
    """Returns the step to take each step's value from: the last known step, or the first known step of the history."""
    steps = np.arange(known.shape[1])
    last = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    first = known[:, : present + 1].argmax(axis=1)  # 0, an unknown step, if no step of the history is known
    return np.where(last >= 0, last, np.where(steps <= present, first[:, None], steps))
