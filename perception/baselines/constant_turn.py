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
    # Each step is a chord of the arc, turned by one more step's angle than the one before; complex numbers turn.
    angle = STEP_S * turn_rate
    chords = np.empty((len(velocity), steps), dtype=np.complex128)
    chords[:] = np.exp(1j * angle)[:, None]
    chords[:, 0] = STEP_S * (velocity @ [1, 1j]) * np.sinc(0.5 * angle / np.pi) * np.exp(0.5j * angle)
    along = np.multiply.accumulate(chords, axis=1).cumsum(axis=1)
    return position[:, None] + along.view(np.float64).reshape(*along.shape, 2)
