from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perception.baselines.constant_velocity import constant_velocity
from perception.errors import InputError


def with_unseen(scenario, agent: int, steps):
    valid, position = scenario.agents.valid.copy(), scenario.agents.position.copy()
    valid[agent, steps] = False
    position[agent, steps] = 0.0
    return replace(scenario, agents=replace(scenario.agents, valid=valid, position=position))


def test_an_agent_at_constant_velocity_is_forecast_exactly(make_scenario):
    scenario = make_scenario(agents=3, history_steps=8)
    forecast = constant_velocity(scenario, np.array([2, 0]))
    truth = scenario.agents.position[[2, 0], 8:]
    np.testing.assert_allclose(forecast.trajectories[:, 0], truth, atol=1e-12)
    assert forecast.agents.tolist() == [2, 0]
    assert forecast.probabilities.tolist() == [[1.0], [1.0]]


def test_the_velocity_is_the_mean_over_the_last_five_steps(make_scenario):
    along = np.array([0.0, 90.0, 1.0, 2.0, 4.0, 7.0, 11.0, 0.0, 0.0])
    position = np.stack([along, np.zeros(9)], axis=-1)[None]
    forecast = constant_velocity(make_scenario(position=position, history_steps=7), np.array([0]))
    per_step = (11.0 - 90.0) / 5
    np.testing.assert_allclose(forecast.trajectories[0, 0, :, 0], [11.0 + per_step, 11.0 + 2 * per_step])


def test_an_agent_observed_late_uses_the_steps_it_has(make_scenario):
    scenario = with_unseen(make_scenario(agents=1, history_steps=8), 0, slice(0, 6))
    forecast = constant_velocity(scenario, np.array([0]))
    np.testing.assert_allclose(forecast.trajectories[0, 0], scenario.agents.position[0, 8:], atol=1e-12)


def test_an_agent_observed_only_at_present_stands_still(make_scenario):
    scenario = with_unseen(make_scenario(agents=1, history_steps=8), 0, slice(0, 7))
    forecast = constant_velocity(scenario, np.array([0]))
    assert (forecast.trajectories == scenario.agents.position[0, 7]).all()


def test_an_agent_not_observed_at_present_is_refused(make_scenario):
    scenario = with_unseen(make_scenario("abc", history_steps=8), 1, 7)
    with pytest.raises(InputError, match=r"abc, agent track1: expected an agent seen at the present step \(7\)"):
        constant_velocity(scenario, np.arange(2))
