"""Consistency of successive forecasts of the same agents.

A planner whose forecast changes ten times a second brakes without reason, however accurate each forecast is. The
metric needs no ground truth, so it can be measured wherever a node runs. StreamingForecasting
(https://arxiv.org/abs/2310.01351) also evaluates forecasts over streams, but measures accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from perception.errors import InputError


@dataclass(frozen=True)
class Consistency:
    """Mean distance of each agent over the steps that both forecasts cover, metres.

    Attributes:
        most_likely: Between the earlier and the later most probable mode, as a planner that follows one mode sees it.
            When another mode becomes the most probable, it is the distance between the two modes.
        best_matching: Between the later most probable mode and the nearest earlier mode. It is at most `most_likely`;
            the difference is due to changes of the probabilities.
    """

    most_likely: Float[np.ndarray, " agents"]
    best_matching: Float[np.ndarray, " agents"]


def forecast_consistency(
    before: Float[np.ndarray, "agents modes steps 2"],
    before_probabilities: Float[np.ndarray, "agents modes"],
    now: Float[np.ndarray, "agents now_modes steps 2"],
    now_probabilities: Float[np.ndarray, "agents now_modes"],
    steps_apart: int = 1,
) -> Consistency:
    """Compares two forecasts of the same agents in a common frame at the same absolute times.

    Args:
        before: Earlier forecast, metres.
        before_probabilities: Probabilities of the earlier modes.
        now: Later forecast, metres.
        now_probabilities: Probabilities of the later modes.
        steps_apart: Number of steps by which the later forecast starts after the earlier one.

    Raises:
        InputError: The forecasts share no step.
    """
    steps = before.shape[2]
    if not 0 <= steps_apart < steps:
        raise InputError(
            f"consistency: expected forecasts that begin less than their {steps} steps apart, got {steps_apart}; "
            "compare successive ones"
        )
    agents = np.arange(len(now))
    early, late = before[:, :, steps_apart:], now[:, :, : steps - steps_apart]
    likeliest = late[agents, now_probabilities.argmax(axis=1)]
    apart = early - likeliest[:, None]
    distance = np.sqrt(np.square(apart[..., 0]) + np.square(apart[..., 1])).mean(axis=-1)  # norm takes twice as long
    return Consistency(distance[agents, before_probabilities.argmax(axis=1)], distance.min(axis=1))
