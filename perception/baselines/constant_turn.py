"""Constant turn rate and speed, what can be said of an object without a network."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from perception.traffic.scenario import STEP_S


def constant_turn(
    position: Float[np.ndarray, "agents 2"],
    velocity: Float[np.ndarray, "agents 2"],
    turn_rate: Float[np.ndarray, " agents"],
    steps: int,
) -> Float[np.ndarray, "agents steps 2"]:
    """Returns the positions of agents that keep their speed and turn rate; step 0 is `STEP_S` after the present.

    Args:
        position: Present positions, metres.
        velocity: Present velocities in the same frame, m/s.
        turn_rate: Counter-clockwise turn rates, rad/s; 0 gives a straight line.
        steps: Number of steps.
    """
    seconds = STEP_S * np.arange(1, steps + 1)
    result = position[:, None] + seconds[:, None] * velocity[:, None]
    turning = np.flatnonzero(turn_rate)
    half = 0.5 * turn_rate[turning, None] * seconds
    # The chord of an arc: its length is that of the arc times sin(half) / half, and it points along the middle tangent.
    length = seconds * np.sinc(half / np.pi)
    cos, sin = np.cos(half), np.sin(half)
    east, north = velocity[turning, :1], velocity[turning, 1:]
    chord = np.stack([cos * east - sin * north, sin * east + cos * north], axis=-1)
    result[turning] = position[turning, None] + length[..., None] * chord
    return result
