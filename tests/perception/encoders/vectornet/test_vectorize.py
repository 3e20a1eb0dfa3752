"""What the network sees of a scenario: nothing of where the city lies, and nothing of the future."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.vectornet.vectorize import (
    CHANGE_SCALE,
    POSITION_SCALE,
    VectorizedScenario,
    mirror,
    vectorize,
)
from perception.geometry import SE2
from perception.traffic.scenario import PolylineKind, Scenario, Turn, UnusableScenario

seeds = st.integers(0, 10_000)
poses = st.builds(SE2, st.floats(-3000, 3000), st.floats(-3000, 3000), st.floats(-4, 4))
few = settings(deadline=None, max_examples=20)


def assert_same(left: VectorizedScenario, right: VectorizedScenario, *, leaving_out: set[str], atol: float) -> None:
    for name in {f.name for f in fields(left)} - leaving_out:
        ours, theirs = getattr(left, name), getattr(right, name)
        if isinstance(ours, np.ndarray) and ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol, err_msg=name)
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


def unobserved(scenario: Scenario, agent: int, steps: slice) -> Scenario:
    """The scenario where an agent was not seen at some steps; what stands there instead must not matter."""
    valid, position = scenario.agents.valid.copy(), scenario.agents.position.copy()
    valid[agent, steps], position[agent, steps] = False, 1e6
    return replace(scenario, agents=replace(scenario.agents, valid=valid, position=position))


@few
@given(seed=seeds, elsewhere=poses)
def test_moving_the_city_changes_nothing_but_the_way_back_to_it(random_scenario, moved, seed, elsewhere) -> None:
    scenario = random_scenario(seed)
    here, there = vectorize(scenario), vectorize(moved(scenario, elsewhere))
    assert_same(here, there, leaving_out={"city_SE2_scene", "futures"}, atol=1e-4)
    np.testing.assert_allclose(here.futures, there.futures, atol=1e-4)
    points = np.array([[0.0, 0.0], [10.0, -5.0]])
    np.testing.assert_allclose(
        there.city_SE2_scene.apply(points), elsewhere.apply(here.city_SE2_scene.apply(points)), atol=1e-6
    )


@few
@given(seed=seeds, elsewhere=poses)
def test_moving_one_agent_changes_its_pose_alone(random_scenario, seed, elsewhere) -> None:
    scenario = random_scenario(seed)
    tracks = scenario.agents
    other = 1
    position, heading = tracks.position.copy(), tracks.heading.copy()
    position[other], heading[other] = elsewhere.apply(position[other]), heading[other] + elsewhere.heading_rad
    before = vectorize(scenario)
    after = vectorize(replace(scenario, agents=replace(tracks, position=position, heading=heading)))
    assert_same(before, after, leaving_out={"agent_poses"}, atol=1e-4)
    unmoved = before.agents != other
    np.testing.assert_array_equal(before.agent_poses[unmoved], after.agent_poses[unmoved])


@few
@given(seed=seeds, elsewhere=poses)
def test_moving_one_lane_changes_its_pose_alone(random_scenario, seed, elsewhere) -> None:
    scenario = random_scenario(seed)
    points = scenario.map.points.copy()
    points[0] = elsewhere.apply(points[0])
    before, after = vectorize(scenario), vectorize(replace(scenario, map=replace(scenario.map, points=points)))
    assert_same(before, after, leaving_out={"lane_poses", "lane_points"}, atol=1e-4)
    np.testing.assert_array_equal(before.lane_poses[1:], after.lane_poses[1:])
    np.testing.assert_array_equal(before.lane_points[1:], after.lane_points[1:])


@few
@given(seed=seeds)
def test_mirroring_twice_gives_the_scenario_back(random_scenario, seed) -> None:
    vectors = vectorize(random_scenario(seed))
    assert_same(mirror(mirror(vectors)), vectors, leaving_out=set(), atol=0)


@few
@given(seed=seeds)
def test_mirroring_is_vectorizing_the_mirrored_city(random_scenario, seed) -> None:
    scenario = random_scenario(seed)
    flip = np.array([1.0, -1.0])
    tracks, lanes = scenario.agents, scenario.map
    swapped = np.array([Turn.NONE, Turn.RIGHT, Turn.LEFT])[lanes.turns]
    mirrored_city = replace(
        scenario,
        agents=replace(
            tracks, position=tracks.position * flip, heading=-tracks.heading, velocity=tracks.velocity * flip
        ),
        map=replace(lanes, points=lanes.points * flip, turns=swapped),
    )
    assert_same(mirror(vectorize(scenario)), vectorize(mirrored_city), leaving_out={"city_SE2_scene"}, atol=1e-5)


@few
@given(seed=seeds, other_future=seeds)
def test_the_future_changes_nothing_but_the_futures(random_scenario, seed, other_future) -> None:
    scenario = random_scenario(seed)
    tracks, after = scenario.agents, slice(scenario.history_steps, None)
    rng = np.random.default_rng(other_future)
    changed = {name: getattr(tracks, name).copy() for name in ("position", "heading", "velocity", "valid")}
    for values in changed.values():
        future = values[:, after]
        values[:, after] = rng.random(future.shape) < 0.5 if values.dtype == bool else rng.normal(0, 50, future.shape)
    other = vectorize(replace(scenario, agents=replace(tracks, **changed)))
    assert_same(vectorize(scenario), other, leaving_out={"futures", "futures_valid"}, atol=0)


@few
@given(seed=seeds)
def test_futures_lead_back_to_the_city(random_scenario, seed) -> None:
    scenario = random_scenario(seed)
    vectors = vectorize(scenario)
    for row, agent in enumerate(vectors.agents):
        x, y, cos, sin = vectors.agent_poses[row].astype(float)
        city_SE2_agent = vectors.city_SE2_scene @ SE2(x, y, float(np.arctan2(sin, cos)))
        valid = vectors.futures_valid[row]
        np.testing.assert_array_equal(valid, scenario.agents.valid[agent, scenario.history_steps :])
        truth = scenario.agents.position[agent, scenario.history_steps :][valid]
        np.testing.assert_allclose(city_SE2_agent.apply(vectors.futures[row][valid].astype(float)), truth, atol=1e-4)
        assert not vectors.futures[row][~valid].any()


def test_vectors_of_an_agent_by_hand(make_scenario: Callable[..., Scenario]) -> None:
    north = np.stack([np.zeros(6), np.array([0.0, 1.0, 3.0, 4.0, 6.0, 9.0])], axis=-1)[None]
    vectors = vectorize(make_scenario(position=north, history_steps=4))
    x, dx, deviation, change, time, speed = (vectors.agent_vectors[0, :, i] for i in (0, 2, 4, 6, 8, 9))
    np.testing.assert_allclose(x, POSITION_SCALE * np.array([-4.0, -3.0, -1.0]), atol=1e-6)
    np.testing.assert_allclose(dx, [1.0, 2.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(deviation, [0.0, -1 / 3, 1 / 3], atol=1e-6)  # from 4 m in 0.3 s
    np.testing.assert_allclose(change, CHANGE_SCALE * np.array([-1 / 3, 2 / 3, -1 / 3]), atol=1e-6)
    np.testing.assert_allclose(time, [-0.2, -0.1, 0.0], atol=1e-6)
    np.testing.assert_allclose(speed, [1.0, 2.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(vectors.agent_vectors[0, :, [1, 3, 5, 7]], 0, atol=1e-6)
    np.testing.assert_allclose(vectors.agent_poses[0], [0, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(vectors.futures[0], [[2, 0], [5, 0]], atol=1e-6)


def test_vectors_of_a_lane_by_hand(make_scenario: Callable[..., Scenario]) -> None:
    scenario = make_scenario()
    lanes = replace(scenario.map, turns=np.array([Turn.LEFT, Turn.RIGHT, Turn.NONE]))
    vectors = vectorize(replace(scenario, map=lanes)).lane_vectors
    start, step = POSITION_SCALE * 10.0 * np.arange(-5, 4), POSITION_SCALE * 10.0
    for lane in (0, 1):
        np.testing.assert_allclose(vectors[lane, :, 0], start, atol=1e-6)
        np.testing.assert_allclose(vectors[lane, :, 2], step, atol=1e-6)
    np.testing.assert_allclose(vectors[:, :, [1, 3]], 0, atol=1e-6)
    kinds = np.eye(4)
    lane, crosswalk = kinds[PolylineKind.VEHICLE_LANE], kinds[PolylineKind.CROSSWALK]
    np.testing.assert_array_equal(vectors[0, 0, 4:], [1, 0, 0, 0, *lane])
    np.testing.assert_array_equal(vectors[1, 0, 4:], [0, 1, 1, 0, *lane])
    np.testing.assert_array_equal(vectors[2, 0, 4:], [0, 0, 0, 0, *crosswalk])


def test_vectors_at_a_gap_are_masked(make_scenario: Callable[..., Scenario]) -> None:
    vectors = vectorize(unobserved(make_scenario(), agent=1, steps=slice(2, 3)))
    np.testing.assert_array_equal(vectors.agent_vectors_valid[1], [True, False, False, True])
    assert not vectors.agent_vectors[1, 1:3].any()
    assert vectors.agent_vectors_valid[0].all()


def test_agents_unseen_at_the_present_are_left_out(make_scenario: Callable[..., Scenario]) -> None:
    scenario = replace(unobserved(make_scenario(agents=4), agent=1, steps=slice(4, 6)), focal=2)
    vectors = vectorize(scenario)
    np.testing.assert_array_equal(vectors.agents, [0, 2, 3])
    assert vectors.focal == 1
    np.testing.assert_allclose(vectors.agent_poses[vectors.focal], [0, 0, 1, 0], atol=1e-6)


def test_a_scene_without_its_focal_agent_is_refused_by_name(make_scenario: Callable[..., Scenario]) -> None:
    with pytest.raises(UnusableScenario, match=r"scenario s1: .* present step 4, track0 is not"):
        vectorize(unobserved(make_scenario(), agent=0, steps=slice(4, 5)))


@pytest.mark.parametrize(("seen_from", "expected"), [(0, 50 / 5), (3, 35 / 4), (6, 10 / 1), (7, 0)])
def test_the_present_velocity_is_the_mean_since_the_first_step_seen_of_the_last_five(
    make_scenario: Callable[..., Scenario], seen_from: int, expected: float
) -> None:
    along = np.array([-99.0, -99.0, 0.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0]) / 10
    scenario = make_scenario(position=np.stack([along, np.zeros(9)], axis=-1)[None], history_steps=8)
    vectors = vectorize(unobserved(scenario, agent=0, steps=slice(0, seen_from)))
    np.testing.assert_allclose(vectors.agent_velocities[0], [expected, 0], atol=1e-5)
