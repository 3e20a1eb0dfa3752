"""The forecaster that every learned one has to beat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from perception.errors import InputError
from perception.traffic.scenario import Forecast, Scenario

WINDOW_STEPS = 5
"""The velocity is a mean over this many steps: shorter is noise, longer is history."""


def constant_velocity(scenario: Scenario, agents: Int[np.ndarray, " forecast_agents"]) -> Forecast:
    """One mode an agent: it goes on with its mean velocity over the last five steps (fewer where seen later).

    An agent first seen at the present stands still. The horizon is the scenario's own.

    Raises:
        InputError: An agent is not seen at the present, so nothing is known of where it is.
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
