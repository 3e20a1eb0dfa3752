"""Constant velocity, the baseline of trajectory forecasting."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from perception.errors import InputError
from perception.traffic.scenario import Forecast, Scenario

WINDOW_STEPS = 5
"""Number of steps over which the velocity is averaged: fewer are noisy, more are out of date."""


def constant_velocity(scenario: Scenario, agents: Int[np.ndarray, " forecast_agents"]) -> Forecast:
    """Forecasts one mode per agent, at its mean velocity over the last five steps, or fewer if it was observed later.

    An agent observed only at the present step stands still. The horizon is that of the scenario.

    Raises:
        InputError: An agent is not observed at the present step, so that its position is unknown.
    """
    present, tracks = scenario.present, scenario.agents
    unseen = agents[~tracks.valid[agents, present]]
    if len(unseen):
        raise InputError(
            f"scenario {scenario.id}, agent {tracks.ids[unseen[0]]}: expected an agent seen at the present step "
            f"({present}), got one that is not; ask for the scored agents only"
        )
    first = max(0, present - WINDOW_STEPS)
    start = first + tracks.valid[agents, first : present + 1].argmax(axis=1)
    here = tracks.position[agents, present]
    step = (here - tracks.position[agents, start]) / np.maximum(present - start, 1)[:, None]
    ahead = np.arange(1, scenario.future_steps + 1)
    trajectories = here[:, None, None] + ahead[:, None] * step[:, None, None]
    return Forecast(agents, trajectories, np.ones((len(agents), 1)))
