from __future__ import annotations

from collections.abc import Callable

from perception.traffic.scenario import Scenario
from perception_tools.forecasting.scored import asked_agents


def test_who_is_asked_is_scored_or_focal_and_seen_now(make_scenario: Callable[..., Scenario]) -> None:
    scenario = make_scenario(agents=5)
    scenario.agents.scored[[0, 3]] = False
    scenario.agents.valid[2, scenario.present] = False
    assert asked_agents(scenario).tolist() == [0, 1, 4], "0 is focal, 2 unseen, 3 not scored"
