"""Forecasts from their agents' frames to the city's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perception.geometry import SE2
from perception.traffic.agent_frames import forecasts_in_city
from perception.traffic.scenario import Scenario


def test_what_lies_ahead_of_an_agent_lies_along_its_heading(make_scenario: Callable[..., Scenario]) -> None:
    scenario = make_scenario(agents=2)
    ahead = np.zeros((2, 1, 3, 2))
    ahead[..., 0] = [1.0, 2.0, 3.0]
    (forecast,) = forecasts_in_city([scenario], [np.array([1, 0])], ahead, np.ones((2, 1)))
    for row, agent in enumerate((1, 0)):
        start = scenario.agents.position[agent, scenario.present]
        heading = scenario.agents.heading[agent, scenario.present]
        away = forecast.trajectories[row, 0] - start
        np.testing.assert_allclose(away, np.outer([1, 2, 3], [np.cos(heading), np.sin(heading)]), atol=1e-9)


@given(seed=st.integers(0, 2**31))
def test_they_are_the_inverse_of_the_agents_pose(make_scenario: Callable[..., Scenario], seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenarios = [make_scenario("a", agents=3), make_scenario("b", agents=1)]
    asked = [np.array([2, 0]), np.array([0])]
    local, chances = rng.normal(0, 50, (3, 6, 10, 2)), rng.dirichlet(np.ones(6), 3)
    found = forecasts_in_city(scenarios, asked, local, chances)
    assert [len(forecast.agents) for forecast in found] == [2, 1]
    row = 0
    for scenario, forecast, wanted in zip(scenarios, found, asked, strict=True):
        for number, agent in enumerate(wanted):
            x, y = scenario.agents.position[agent, scenario.present]
            pose = SE2(float(x), float(y), float(scenario.agents.heading[agent, scenario.present]))
            np.testing.assert_allclose(pose.apply(local[row]), forecast.trajectories[number], atol=1e-9)
            np.testing.assert_array_equal(forecast.probabilities[number], chances[row])
            row += 1
