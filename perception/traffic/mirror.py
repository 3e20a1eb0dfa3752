"""Scenarios and forecasts with left and right exchanged: what a forecaster should treat alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from perception.traffic.scenario import Forecast, Scenario, Turn

_MIRRORED_TURNS = np.array([Turn.NONE, Turn.RIGHT, Turn.LEFT])
"""What becomes of each `Turn`."""


def mirror_scenario(scenario: Scenario) -> Scenario:
    """The scenario as in a mirror that stands along its city frame's x axis."""
    agents, lanes = scenario.agents, scenario.map
    return replace(
        scenario,
        agents=replace(
            agents,
            position=_mirrored(agents.position),
            heading=-agents.heading,
            velocity=_mirrored(agents.velocity),
        ),
        map=replace(lanes, points=_mirrored(lanes.points), turns=_MIRRORED_TURNS[lanes.turns]),
    )


def mirror_forecast(forecast: Forecast) -> Forecast:
    """The forecast in the same mirror: of a mirrored scenario, what it says of the scenario itself."""
    return replace(forecast, trajectories=_mirrored(forecast.trajectories))


def _mirrored(points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    return points * np.array([1.0, -1.0])
