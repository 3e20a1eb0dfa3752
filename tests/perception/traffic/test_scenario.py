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


def test_a_scenario_of_another_length_is_refused_with_both(make_scenario) -> None:
    scenario = make_scenario("abc", history_steps=5, steps=15)
    assert scenario.shape == (5, 10)
    scenario.require_shape((5, 10), "as in training")
    with pytest.raises(UnusableScenario, match="scenario abc: expected 20 observed and 30 future steps as in training"):
        scenario.require_shape((20, 30), "as in training")


IMPOSSIBLE = {
    "a coordinate": ("agents", "position", (1, 2, 0), 1e300, r"position below 1e\+07, found 1e\+300"),
    "no number": ("agents", "velocity", (0, 3, 1), np.nan, "velocity below .*, found nan"),
    "an infinite heading": ("agents", "heading", (0, 0), -np.inf, "heading below .*, found -inf"),
    "a kind": ("agents", "kinds", (1,), 10, "kinds from 0 to 9, found 10"),
    "a point of the map": ("map", "points", (2, 9, 1), np.inf, "map.points below .*, found inf"),
    "a kind of lane": ("map", "kinds", (0,), -1, "map.kinds from 0 to 3, found -1"),
    "a turn": ("map", "turns", (0,), 3, "map.turns from 0 to 2, found 3"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_values_that_cannot_be_are_named(case: str, make_scenario) -> None:
    part, name, where, value, reason = IMPOSSIBLE[case]
    scenario = make_scenario("abc")
    scenario.require_plausible()
    values = getattr(getattr(scenario, part), name).copy()
    values[where] = value
    changed = replace(scenario, **{part: replace(getattr(scenario, part), **{name: values})})
    with pytest.raises(UnusableScenario, match=f"scenario abc: expected {reason}; leave the scenario out"):
        changed.require_plausible()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"focal": 2}, "focal from 0 to 1, found 2"),
        ({"focal": -1}, "focal from 0 to 1, found -1"),
        ({"ego": 7}, "ego from 0 to 1, found 7"),
        ({"history_steps": 0}, "history_steps from 1 to 15, found 0"),
        ({"history_steps": 16}, "history_steps from 1 to 15, found 16"),
    ],
)
def test_numbers_that_point_outside_are_named(change: dict, reason: str, make_scenario) -> None:
    with pytest.raises(UnusableScenario, match=reason):
        replace(make_scenario(), **change).require_plausible()


@pytest.mark.parametrize("name", ["kinds", "scored", "position", "heading", "velocity"])
def test_arrays_of_another_number_of_agents_are_named(name: str, make_scenario) -> None:
    scenario = make_scenario(agents=3)
    agents = replace(scenario.agents)
    object.__setattr__(agents, name, getattr(agents, name)[:2])  # as a damaged store has it, without the shape checks
    with pytest.raises(UnusableScenario, match=rf"expected {name} of shape \(3.*\), found \(2"):
        replace(scenario, agents=agents).require_plausible()
