"""Forecasts from the frames of their agents to the city's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from perception.traffic.scenario import Forecast, Scenario


def forecasts_in_city(
    scenarios: Sequence[Scenario],
    agents: Sequence[Int[np.ndarray, " _"]],
    trajectories: Float[np.ndarray, "asked modes steps 2"],
    probabilities: Float[np.ndarray, "asked modes"],
) -> list[Forecast]:
    """Forecasts of the agents asked about, in float64.

    Args:
        scenarios: What was known.
        agents: For each scenario, the agents asked about.
        trajectories: Their futures, each in its agent's present frame, metres; of all scenarios one after another.
        probabilities: Probability of each future.
    """
    ends = np.cumsum([len(wanted) for wanted in agents])[:-1]
    return [
        Forecast(wanted, _to_city(scenario, wanted, local), probability)
        for scenario, wanted, local, probability in zip(
            scenarios, agents, np.split(trajectories, ends), np.split(probabilities, ends), strict=True
        )
    ]


def _to_city(
    scenario: Scenario, agents: Int[np.ndarray, " agents"], local: Float[np.ndarray, "agents modes steps 2"]
) -> Float[np.ndarray, "agents modes steps 2"]:
    """Trajectories from each agent's present frame to the city frame."""
    x, y = scenario.agents.position[agents, scenario.present].T[:, :, None, None]
    heading = scenario.agents.heading[agents, scenario.present][:, None, None]
    cos, sin = np.cos(heading), np.sin(heading)
    return np.stack(
        [x + cos * local[..., 0] - sin * local[..., 1], y + sin * local[..., 0] + cos * local[..., 1]], axis=-1
    )
