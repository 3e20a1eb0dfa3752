"""What a scenario says of itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perception.traffic.scenario import UnusableScenario


def test_a_focal_agent_that_is_not_seen_now_makes_the_scenario_unusable(make_scenario) -> None:
    scenario = make_scenario()
    scenario.require_focal()
    valid = scenario.agents.valid.copy()
    valid[scenario.focal, scenario.present] = False
    with pytest.raises(UnusableScenario, match="expected a focal agent that is observed at the present step 4, track0"):
        replace(scenario, agents=replace(scenario.agents, valid=valid)).require_focal()


def test_an_agents_frame_stands_where_it_is_now_and_looks_where_it_goes(random_scenario) -> None:
    scenario = random_scenario(3)
    city_SE2_agent = scenario.city_SE2_agent(1)
    np.testing.assert_allclose(city_SE2_agent.apply(np.zeros((1, 2)))[0], scenario.agents.position[1, scenario.present])
    assert city_SE2_agent.heading_rad == scenario.agents.heading[1, scenario.present]
