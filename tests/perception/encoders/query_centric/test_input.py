"""What the query-centric encoder is shown: all scenes one after another, with edges within each alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.forecasting import ForecastBatch, ForecastInput
from perception.encoders.query_centric.batch import GraphBatch
from perception.encoders.query_centric.input import GraphInput
from perception.traffic.augmentation import Augmentation
from perception.traffic.scenario import Scenario

few = settings(max_examples=15)


def show(scenarios: list[Scenario], agents: list[list[int]], neighbours: int = 8) -> GraphBatch:
    shown = GraphInput(neighbours)
    return shown.collate([shown.prepare(scenario) for scenario in scenarios], [np.array(wanted) for wanted in agents])


def seen(scenario: Scenario) -> list[int]:
    return np.flatnonzero(scenario.agents.valid[:, scenario.present]).tolist()


def test_it_is_what_a_forecaster_expects(make_scenario) -> None:
    shown: ForecastInput = GraphInput()
    batch: ForecastBatch = show([make_scenario()], [[0]])
    assert isinstance(shown, ForecastInput)
    assert isinstance(batch, ForecastBatch)
    assert list(shown.warm_up_agents(20)) == [1, 9, 17]


def test_a_quarter_of_the_neighbours_are_agents_and_lanes_have_half_as_many(make_scenario) -> None:
    batch = show([make_scenario(agents=3)], [[0]], neighbours=32)
    assert batch.agent_neighbours.shape == (3, 8 + 24)
    assert batch.lane_neighbours.shape == (3, 4 + 12)


@few
@given(seeds=st.lists(st.integers(0, 1000), min_size=1, max_size=4))
def test_scenes_do_not_touch_and_tokens_are_their_elements(random_scenario, seeds: list[int]) -> None:
    scenarios = [random_scenario(seed) for seed in seeds]
    batch = show(scenarios, [seen(scenario) for scenario in scenarios])
    scene_of = torch.full((len(batch.agent_kinds) + len(batch.lane_rows),), -1)
    for number, (index, valid) in enumerate(zip(batch.token_index, batch.token_valid, strict=True)):
        assert (scene_of[index[valid]] == -1).all(), "an element is a token of one scene"
        scene_of[index[valid]] = number
    assert (scene_of >= 0).all()
    first_lane = len(batch.agent_kinds)
    for owners, index, valid in (
        (scene_of[:first_lane], batch.agent_neighbours, batch.agent_neighbours_valid),
        (scene_of[first_lane:], batch.lane_neighbours, batch.lane_neighbours_valid),
    ):
        assert (scene_of[index] == owners.unsqueeze(1))[valid].all()
    for number, scenario in enumerate(scenarios):
        rows = batch.rows[number, batch.rows_valid[number]]
        kinds = batch.agent_kinds[batch.token_index[number, rows]]
        np.testing.assert_array_equal(kinds, scenario.agents.kinds[seen(scenario)])


@few
@given(seeds=st.lists(st.integers(0, 1000), min_size=2, max_size=3))
def test_a_scene_in_a_batch_is_the_scene_alone(random_scenario, seeds: list[int]) -> None:
    scenarios = [random_scenario(seed) for seed in seeds]
    together = show(scenarios, [[scenario.focal] for scenario in scenarios])
    alone = show([scenarios[-1]], [[scenarios[-1].focal]])
    agents, lanes = len(alone.agent_kinds), len(alone.lane_rows)
    assert torch.equal(together.agent_vectors[-agents:], alone.agent_vectors)
    assert torch.equal(together.lane_poses[len(together.lane_poses) - lanes :], alone.lane_poses)
    own = together.token_index[-1, : agents + lanes]
    mine = slice(len(together.agent_kinds) - agents, None)
    valid = together.agent_neighbours_valid[mine]
    assert torch.equal(valid, alone.agent_neighbours_valid)
    assert torch.equal(together.agent_neighbours[mine][valid], own[alone.agent_neighbours][valid])
    assert torch.equal(together.futures[-1], alone.futures[0])


def test_lanes_are_counted_over_the_whole_maps(make_scenario) -> None:
    scenario = make_scenario()
    batch = show([scenario, scenario], [[0], [0]])
    assert batch.lane_rows.tolist() == [0, 1, 2, 3, 4, 5]


def test_what_is_asked_about_keeps_its_order_and_rows_beyond_it_are_padding(make_scenario) -> None:
    scenario = make_scenario(agents=3)
    batch = show([scenario, scenario], [[2, 0], [1]])
    assert batch.rows.tolist() == [[2, 0], [1, 0]]
    assert batch.rows_valid.tolist() == [[True, True], [True, False]]
    assert batch.readout.rows is batch.rows
    np.testing.assert_allclose(batch.row_velocities[0, :, 0], [5.0, 10.0], atol=1e-4)


def test_a_mirrored_scene_is_the_scene_mirrored_and_a_turn_changes_nothing(random_scenario) -> None:
    scenario, shown = random_scenario(3), GraphInput(8)
    prepared, asked = [shown.prepare(scenario)], [np.array([scenario.focal])]
    plain, mirrored, turned = (
        shown.collate(prepared, asked, [augmentation])
        for augmentation in (Augmentation(), Augmentation(mirrored=True), Augmentation(turn_rad=0.5))
    )
    flip = torch.tensor([1.0, -1.0])
    assert torch.equal(mirrored.futures, plain.futures * flip)
    assert torch.equal(mirrored.agent_poses[:, :2], plain.agent_poses[:, :2] * flip)
    assert torch.equal(mirrored.lane_poses[:, :2], plain.lane_poses[:, :2] * flip)
    assert torch.equal(mirrored.lane_neighbours, plain.lane_neighbours)
    assert torch.equal(turned.agent_poses, plain.agent_poses)


def test_agents_that_are_not_seen_cannot_be_asked_about(make_scenario) -> None:
    with pytest.raises(ValueError, match="expected agents observed at the present step"):
        show([make_scenario()], [[5]])
