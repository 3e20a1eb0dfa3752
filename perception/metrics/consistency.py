"""How much successive forecasts of the same moments contradict each other.

A planner that gets another answer every tenth of a second brakes for ghosts, however good each answer is. No truth is
needed, so this can be measured wherever a node runs. StreamingForecasting (https://arxiv.org/abs/2310.01351) evaluates
forecasts over streams as well; it measures accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from perception.errors import InputError


@dataclass(frozen=True)
class Consistency:
    """Mean distance over the moments that both forecasts speak of, for each agent, metres.

    Attributes:
        most_likely: Between the most probable mode before and the most probable mode now: what a planner notices that
            follows one mode. Where a probability overtakes another, it is as large as the modes are apart.
        best_matching: Between the most probable mode now and whichever mode before is nearest to it: small where
            today's favourite was among yesterday's candidates. It is at most `most_likely`; the difference is flips of
            probability.
    """

    most_likely: Float[np.ndarray, " agents"]
    best_matching: Float[np.ndarray, " agents"]


def forecast_consistency(
    before: Float[np.ndarray, "agents modes steps 2"],
    before_probabilities: Float[np.ndarray, "agents modes"],
    now: Float[np.ndarray, "agents modes steps 2"],
    now_probabilities: Float[np.ndarray, "agents modes"],
    steps_apart: int = 1,
) -> Consistency:
    """Compares two forecasts of the same agents in a common frame at the same absolute times.

    Args:
        before: The earlier forecast.
        before_probabilities: Of its modes.
        now: The later one.
        now_probabilities: Of its modes.
        steps_apart: How many steps the later forecast begins after the earlier one.

    Raises:
        InputError: The two share no moment.
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
    distance = np.linalg.norm(early - likeliest[:, None], axis=-1).mean(axis=-1)
    return Consistency(distance[agents, before_probabilities.argmax(axis=1)], distance.min(axis=1))
