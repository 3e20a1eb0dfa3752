"""Views: who sees which polylines, from where, and whose futures are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.vectorize import VectorizedScenario, vectorize
from perception.encoders.vectornet.views import View, make_views, nearest
from perception.geometry import SE2
from perception.traffic.scenario import Scenario

seeds = st.integers(0, 10_000)
few = settings(deadline=None, max_examples=15)


def make_batch(*given: Any, **options: Any) -> VectorBatch:
    return VectorBatch.of(make_views(*given, **options))


def everybody(vectors: VectorizedScenario) -> np.ndarray:
    return np.arange(len(vectors.agents))


def tensors(batch: VectorBatch) -> dict[str, torch.Tensor]:
    """Every tensor of a batch by name."""
    own = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name != "neighbours"}
    return own | {"neighbours": batch.neighbours.index, "neighbours' validity": batch.neighbours.valid}


@few
@given(seed=seeds, size=st.integers(1, 12), share=st.floats(0.1, 1.0))
def test_the_nearest_are_a_stable_sorts_first_and_may_begin_with_oneself(seed: int, size: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    squared_m = rng.choice(np.array([0, 1e-12, 0.5, 2, 3e8, np.inf], np.float32), (size, size))  # many are equal
    count = max(1, round(share * size))
    assert np.array_equal(nearest(squared_m, count), np.argsort(squared_m, axis=1, kind="stable")[:, :count])
    expected = squared_m.copy()
    np.fill_diagonal(expected, -1)
    assert np.array_equal(
        nearest(squared_m, count, itself=True), np.argsort(expected, axis=1, kind="stable")[:, :count]
    )


def pose_of(row: np.ndarray) -> SE2:
    x, y, cos, sin = (float(value) for value in row)
    return SE2(x, y, float(np.arctan2(sin, cos)))


def assert_poses(rows: np.ndarray, poses: list[SE2], atol: float = 1e-4) -> None:
    expected = [[p.x_m, p.y_m, np.cos(p.heading_rad), np.sin(p.heading_rad)] for p in poses]
    np.testing.assert_allclose(rows, expected, atol=atol)


def assert_tokens_are_polylines(batch: VectorBatch, view: int, vectors: VectorizedScenario) -> None:
    """Every token of a view points at a polyline of its scenario and stands where that polyline lies."""
    known = {"agent": vectors.agent_vectors, "lane": vectors.lane_vectors}
    agents = len(batch.agent_vectors)
    for token in batch.token_index[view, batch.token_valid[view]].tolist():
        kind, rows, row = ("agent", batch.agent_vectors, token) if token < agents else (
            "lane", batch.lane_vectors, token - agents)  # fmt: skip
        assert any(np.array_equal(rows[row].numpy(), polyline) for polyline in known[kind])


@few
@given(seed=seeds, max_tokens=st.integers(1, 12))
def test_an_agents_view_begins_with_itself_at_its_origin(random_scenario, seed, max_tokens) -> None:
    vectors = vectorize(random_scenario(seed))
    batch = make_batch([vectors], [everybody(vectors)], max_tokens=max_tokens)
    assert batch.token_poses.shape[0] == len(vectors.agents)
    np.testing.assert_allclose(batch.token_poses[:, 0], np.tile([0, 0, 1, 0], (len(vectors.agents), 1)), atol=1e-5)
    assert not batch.rows.any()
    np.testing.assert_array_equal(batch.row_agents[:, 0], everybody(vectors))
    np.testing.assert_array_equal(batch.agent_vectors[batch.token_index[:, 0]], vectors.agent_vectors)


@few
@given(seed=seeds)
def test_an_agents_view_holds_every_polyline_at_its_pose_relative_to_the_agent(random_scenario, seed) -> None:
    vectors = vectorize(random_scenario(seed))
    viewer = len(vectors.agents) - 1
    batch = make_batch([vectors], [np.array([viewer])])
    agents, lanes = len(vectors.agents), len(vectors.lane_poses)
    assert batch.token_valid.sum() == agents + lanes
    view_SE2_scene = pose_of(vectors.agent_poses[viewer]).inverse()
    scene_poses = np.concatenate([vectors.agent_poses, vectors.lane_poses])
    for token, polyline in enumerate(batch.token_index[0].tolist()):
        assert_poses(batch.token_poses[0, token : token + 1].numpy(), [view_SE2_scene @ pose_of(scene_poses[polyline])])


@few
@given(first=seeds, second=seeds)
def test_a_scene_is_one_view_with_a_row_for_each_target(random_scenario, first, second) -> None:
    scenarios = [vectorize(random_scenario(seed)) for seed in (first, second)]
    targets = [everybody(scenarios[0]), np.array([scenarios[1].focal])]
    batch = make_batch(scenarios, targets, view="scene", max_tokens=1)
    assert len(batch.rows) == 2
    for view, (vectors, wanted) in enumerate(zip(scenarios, targets, strict=True)):
        count = int(batch.token_valid[view].sum())
        assert count >= len(vectors.agents), "the scene view sees all agents, whatever max_tokens"
        np.testing.assert_allclose(batch.token_poses[view, : len(vectors.agents)], vectors.agent_poses, atol=1e-5)
        seen_lanes = batch.token_poses[view, len(vectors.agents) : count].numpy()
        assert all((np.abs(vectors.lane_poses - pose).max(axis=1) < 1e-5).any() for pose in seen_lanes)
        np.testing.assert_array_equal(batch.rows[view, : len(wanted)], wanted)
        np.testing.assert_array_equal(batch.row_agents[view, : len(wanted)], wanted)
        assert batch.rows_valid[view].sum() == len(wanted)
        assert_tokens_are_polylines(batch, view, vectors)


@few
@given(seed=seeds, turn_rad=st.floats(-3, 3))
def test_a_scene_is_seen_from_its_focal_agent(random_scenario, seed, turn_rad) -> None:
    vectors = vectorize(random_scenario(seed))
    batch = make_batch([vectors], [everybody(vectors)], view="scene", turn_rad=[turn_rad])
    view_SE2_scene = (pose_of(vectors.agent_poses[vectors.focal]) @ SE2(0.0, 0.0, turn_rad)).inverse()
    seen = batch.token_poses[0, : len(vectors.agents)].numpy()
    assert_poses(seen, [view_SE2_scene @ pose_of(pose) for pose in vectors.agent_poses])
    np.testing.assert_allclose(seen[vectors.focal, :2], 0, atol=1e-4)


def test_a_scene_shows_the_lanes_beside_the_way_of_those_who_move_and_of_the_focal_agent(
    make_scenario: Callable[..., Scenario],
) -> None:
    def seen_lanes(north_of_lane_m: float, speed_m_s: float, *, focal: bool = False) -> int:
        """How many of a lane and a crosswalk (x = 20) are seen for one agent that drives beside the lane from x = 0."""
        along = 0.1 * speed_m_s * np.arange(-4, 11)
        there = np.stack([along, np.full(15, north_of_lane_m)], axis=-1)
        far = np.stack([np.full(15, 5e3), np.full(15, 5e3)], axis=-1)
        scenario = make_scenario(position=np.stack([there, far]))
        vectors = vectorize(replace(scenario, focal=0 if focal else 1))
        return len(make_batch([vectors], [np.array([0])], view="scene").lane_vectors)

    assert seen_lanes(28.0, 1.5) == 1, "the nearer lane; the crosswalk stays 26 m from the agent"
    assert seen_lanes(28.0, 10.0) == 2, "after two seconds it is there"
    assert seen_lanes(40.0, 10.0) == 0
    assert seen_lanes(28.0, 0.0) == 0, "what stands asks for no lane"
    assert seen_lanes(28.0, 0.0, focal=True) == 1, "but for the focal agent"


@few
@given(first=seeds, second=seeds, max_tokens=st.integers(1, 6), view=st.sampled_from(get_args(View)))
def test_a_batch_holds_the_polylines_that_are_seen_and_no_others(
    random_scenario, first, second, max_tokens, view
) -> None:
    scenarios = [vectorize(random_scenario(seed)) for seed in (first, second)]
    batch = make_batch(scenarios, [np.array([v.focal]) for v in scenarios], view=view, max_tokens=max_tokens)
    polylines = len(batch.agent_vectors) + len(batch.lane_vectors)
    assert set(batch.token_index[batch.token_valid].tolist()) == set(range(polylines))
    assert len(batch.agent_kinds) == len(batch.agent_vectors) == len(batch.agent_vectors_valid)
    for view, vectors in enumerate(scenarios):
        assert_tokens_are_polylines(batch, view, vectors)


@few
@given(seed=seeds, turn_rad=st.floats(-3, 3), view=st.sampled_from(get_args(View)))
def test_turning_a_view_turns_its_poses_and_leaves_the_futures(random_scenario, seed, turn_rad, view) -> None:
    vectors = vectorize(random_scenario(seed))
    straight = make_batch([vectors], [everybody(vectors)], view=view)
    turned = make_batch([vectors], [everybody(vectors)], view=view, turn_rad=[turn_rad])
    turned_SE2_straight = SE2(0.0, 0.0, turn_rad).inverse()
    for before, after in zip(straight.token_poses, turned.token_poses, strict=True):
        assert_poses(after.numpy(), [turned_SE2_straight @ pose_of(row) for row in before.numpy()])
    before, after = tensors(straight), tensors(turned)
    for name in before.keys() - {"token_poses"}:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=0)


def test_only_the_polylines_nearest_to_where_the_agent_will_be_are_kept(
    make_scenario: Callable[..., Scenario],
) -> None:
    drive = np.stack([np.arange(15.0), np.zeros(15)], axis=-1)  # 10 m/s: in 1.5 s it will be 15 m ahead
    scenario = make_scenario(position=drive[None])
    present_x = 4.0
    centres = present_x + np.array([-8.0, 15.0, 40.0, 21.0])  # 23, 0, 25 and 6 m from there
    points = np.stack([centres[:, None] + np.linspace(-1, 1, 10), np.zeros((4, 10))], axis=-1)
    four = np.arange(4)
    lanes = replace(scenario.map, ids=four, points=points, kinds=0 * four, turns=0 * four,
                    is_intersection=four < 0, has_traffic_control=four < 0)  # fmt: skip
    vectors = vectorize(replace(scenario, map=lanes))
    batch = make_batch([vectors], [np.array([0])], max_tokens=4)
    seen = batch.token_poses[0, 1:, 0].numpy()
    middle = 1 / 9  # a lane's frame stands at point 5 of 10
    np.testing.assert_allclose(seen, np.array([15.0, 21.0, -8.0]) + middle, atol=1e-4)


@few
@given(first=seeds, second=seeds, max_tokens=st.integers(1, 8))
def test_in_the_pairwise_view_every_polyline_sees_itself_and_those_nearest_to_where_it_will_be(
    random_scenario, first, second, max_tokens
) -> None:
    scenarios = [vectorize(random_scenario(seed)) for seed in (first, second)]
    targets = [everybody(vectors) for vectors in scenarios]
    batch = make_batch(scenarios, targets, view="pairwise", max_tokens=max_tokens)
    scene = tensors(make_batch(scenarios, targets, view="scene", max_tokens=max_tokens))
    for name in scene.keys() - {"neighbours", "neighbours' validity"}:
        torch.testing.assert_close(tensors(batch)[name], scene[name], rtol=0, atol=0)
    for view, vectors in enumerate(scenarios):
        agents, count = len(vectors.agents), int(batch.token_valid[view].sum())
        index, valid = batch.neighbours.index[view].numpy(), batch.neighbours.valid[view].numpy()
        assert not valid[count:].any()
        assert (valid[:count].sum(axis=1) == min(max_tokens, count)).all()
        lanes = batch.lane_rows[batch.token_index[view, agents:count] - len(batch.agent_vectors)].numpy()
        lanes = lanes - sum(len(earlier.lane_poses) for earlier in scenarios[:view])
        places = [vectors.agent_poses[agent, None, :2] for agent in range(agents)]
        places += [vectors.lane_points[lane] for lane in lanes]
        for token in range(count):
            chosen = index[token, valid[token]]
            assert chosen[0] == token
            assert len(set(chosen.tolist())) == len(chosen)
            x, y, cos, sin = vectors.agent_poses[token] if token < agents else vectors.lane_poses[lanes[token - agents]]
            ahead = 1.5 * np.linalg.norm(vectors.agent_velocities[token]) if token < agents else 0.0
            there = np.array([x + ahead * cos, y + ahead * sin])
            distance = np.array([np.linalg.norm(place - there, axis=1).min() for place in places])
            left_out = np.setdiff1d(np.arange(count), chosen)
            assert distance[chosen[1:]].max(initial=0) <= distance[left_out].min(initial=np.inf) + 1e-2


def test_shorter_views_are_padded(make_scenario: Callable[..., Scenario]) -> None:
    large, small = vectorize(make_scenario("a", agents=4)), vectorize(make_scenario("b", agents=1))
    batch = make_batch([large, small], [np.array([0, 3]), np.array([0])])
    np.testing.assert_array_equal(batch.token_valid.sum(1), [7, 7, 4])
    np.testing.assert_array_equal(batch.view_scenario, [0, 0, 1])
    np.testing.assert_array_equal(batch.row_agents, [[0], [3], [0]])
    assert not batch.token_poses[2, 4:].any()
    scene = make_batch([large, small], [np.array([0, 3]), np.array([0])], view="scene")
    np.testing.assert_array_equal(scene.rows_valid, [[True, True], [True, False]])
    np.testing.assert_array_equal(scene.futures_valid.any(-1), scene.rows_valid)


@pytest.mark.parametrize("view", get_args(View))
def test_a_row_carries_the_velocity_and_future_of_its_own_agent(random_scenario, view: View) -> None:
    scenarios = [vectorize(random_scenario(seed)) for seed in (1, 2)]
    targets = [everybody(vectors)[::-1].copy() for vectors in scenarios]
    batch = make_batch(scenarios, targets, view=view)
    valid = batch.rows_valid
    for name, of_scenario in (
        ("row_velocities", "agent_velocities"),
        ("futures", "futures"),
        ("futures_valid", "futures_valid"),
    ):
        expected = np.concatenate([getattr(v, of_scenario)[t] for v, t in zip(scenarios, targets, strict=True)])
        np.testing.assert_array_equal(getattr(batch, name)[valid].numpy(), expected, err_msg=name)
    assert batch.readout.rows is batch.rows
    assert batch.readout.valid is batch.rows_valid


def test_every_tensor_goes_along_to_another_device(make_scenario: Callable[..., Scenario]) -> None:
    batch = make_batch([vectorize(make_scenario())], [np.array([0])]).to("meta")
    assert {tensor.device.type for tensor in tensors(batch).values()} == {"meta"}


@few
@given(seed=seeds, max_tokens=st.integers(1, 12))
def test_lanes_are_numbered_over_all_scenarios(random_scenario, seed: int, max_tokens: int) -> None:
    scenarios = [vectorize(random_scenario(seed + i)) for i in range(3)]
    batch = make_batch(scenarios, [everybody(s) for s in scenarios], max_tokens=max_tokens)
    lanes = np.concatenate([s.lane_vectors for s in scenarios])
    np.testing.assert_array_equal(batch.lane_vectors, lanes[batch.lane_rows])
