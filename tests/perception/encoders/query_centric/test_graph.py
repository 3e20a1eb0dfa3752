"""A scene's edges: fixed numbers, the nearest of each kind, the same in every city frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.query_centric.graph import SceneGraph, connect
from perception.encoders.vectornet.vectorize import vectorize
from perception.geometry import SE2
from perception.traffic.scenario import Scenario

few = settings(max_examples=15)


def graph(scenario: Scenario, max_agents: int = 4, max_lanes: int = 6) -> SceneGraph:
    return connect(vectorize(scenario), max_agents, max_lanes)


@few
@given(seed=st.integers(0, 1000), max_agents=st.integers(1, 6), max_lanes=st.integers(1, 9))
def test_each_row_has_a_fixed_number_of_places_and_in_them_what_there_is(
    random_scenario, seed: int, max_agents: int, max_lanes: int
) -> None:
    found = graph(random_scenario(seed), max_agents, max_lanes)
    agents, lanes = len(found.scenario.agents), len(found.lanes)
    for part, rows, of_agents, of_lanes in (
        (found.of_agents, agents, max_agents, max_lanes),
        (found.of_lanes, lanes, max_agents // 2, max_lanes // 2),
    ):
        assert part.index.shape == part.valid.shape == (rows, of_agents + of_lanes)
        assert (part.valid.sum(1) == min(agents, of_agents) + min(lanes, of_lanes)).all()
        assert (part.index[~part.valid] == 0).all()
        for index, valid in zip(part.index, part.valid, strict=True):
            seen = index[valid]
            assert len(set(seen.tolist())) == len(seen), "no element twice"
            assert (seen[: min(agents, of_agents)] < agents).all()
            assert (
                (seen[min(agents, of_agents) :] >= agents) & (seen[min(agents, of_agents) :] < agents + lanes)
            ).all()


@few
@given(seed=st.integers(0, 1000))
def test_no_agent_that_is_left_out_is_nearer_than_one_that_is_seen(random_scenario, seed: int) -> None:
    found = graph(random_scenario(seed), max_agents=2)
    position = found.scenario.agent_poses[:, :2].astype(float)
    distance = np.linalg.norm(position[:, None] - position, axis=-1)
    for row, (index, valid) in enumerate(zip(found.of_agents.index[:, :2], found.of_agents.valid[:, :2], strict=True)):
        seen = index[valid]
        assert seen[0] == row, "itself first"
        others = np.setdiff1d(np.arange(len(position)), seen)
        assert distance[row, others].min(initial=np.inf) >= distance[row, seen].max() - 1e-3


@few
@given(seed=st.integers(0, 1000), turn=st.floats(-3.2, 3.2), x=st.floats(-2000, 2000))
def test_edges_do_not_depend_on_where_the_city_lies(random_scenario, moved, seed: int, turn: float, x: float) -> None:
    scenario = random_scenario(seed)
    here, there = graph(scenario, 20, 20), graph(moved(scenario, SE2(x, -x, turn)), 20, 20)
    if len(here.lanes) == len(there.lanes):  # one may lie just at the limit of what is in reach
        for one, other in ((here.of_agents, there.of_agents), (here.of_lanes, there.of_lanes)):
            assert [set(row) for row in one.index.tolist()] == [set(row) for row in other.index.tolist()]


def test_an_agent_sees_the_lanes_along_its_way_and_not_those_behind_it(make_scenario) -> None:
    scenario = make_scenario(agents=1)  # along +x at 10 m/s, and at x = 4 m now
    along = np.stack([np.linspace(0, 5, 10), np.zeros(10)], axis=-1)
    starts = np.array([[-20.0, 0.0], [10.0, 0.0], [30.0, 0.0], [4.0, 18.0]])
    lanes = replace(
        scenario.map,
        ids=np.arange(4),
        points=starts[:, None] + along,
        kinds=np.zeros(4, np.int64),
        turns=np.zeros(4, np.int64),
        is_intersection=np.zeros(4, bool),
        has_traffic_control=np.zeros(4, bool),
    )
    found = graph(replace(scenario, map=lanes), max_agents=1, max_lanes=2)
    assert sorted(found.lanes[found.of_agents.index[0, 1:] - 1].tolist()) == [1, 2]


def test_lanes_attend_to_those_that_touch_them(make_scenario) -> None:
    scenario = make_scenario(agents=1)
    along = np.stack([np.linspace(0, 20, 10), np.zeros(10)], axis=-1)
    lanes = replace(scenario.map, points=np.array([[0.0, 0.0], [20.0, 0.0], [10.0, 6.0]])[:, None] + along)
    found = graph(replace(scenario, map=lanes), max_agents=2, max_lanes=4)
    first = found.of_lanes.index[0]
    assert first.tolist() == [0, 1, 2], "the agent, itself, and the lane that goes on from it"


def test_lanes_out_of_reach_are_left_out_and_the_others_keep_their_number(make_scenario) -> None:
    scenario = make_scenario()
    points = scenario.map.points.copy()
    points[1] += 1000.0
    found = graph(replace(scenario, map=replace(scenario.map, points=points)))
    assert found.lanes.tolist() == [0, 2]
    assert found.lane_count == 3
    assert len(found.scenario.lane_vectors) == len(found.scenario.lane_points) == 2


def test_without_lanes_there_are_only_agents(make_scenario) -> None:
    scenario = make_scenario(agents=3)
    far = replace(scenario, map=replace(scenario.map, points=scenario.map.points + 1000.0))
    found = graph(far)
    assert found.of_lanes.index.shape == (0, 5)
    assert found.of_agents.valid.sum(1).tolist() == [3, 3, 3]
