"""What mmTransformer is shown: the viewer looks along +y, the newest steps stand last, no branch is degenerate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perception.encoders.forecasting import ForecastBatch, ForecastInput
from perception.encoders.mm_transformer import input as shown
from perception.encoders.mm_transformer.batch import SceneBatch
from perception.encoders.mm_transformer.input import SceneInput
from perception.geometry import SE2
from perception.traffic.augmentation import Augmentation
from perception.traffic.scenario import Scenario, Turn


def see(scenario: Scenario, agents: list[int], **options) -> SceneBatch:
    input_ = SceneInput(**options)
    return input_.collate([input_.prepare(scenario)], [np.array(agents)])


def test_it_is_what_a_forecaster_expects(make_scenario) -> None:
    input_: ForecastInput = SceneInput()
    batch: ForecastBatch = see(make_scenario(), [0])
    assert isinstance(batch, ForecastBatch)
    assert list(input_.warm_up_agents(5)) == [1]


def test_the_viewer_stands_at_the_origin_and_drives_along_y(make_scenario) -> None:
    batch = see(make_scenario(agents=3), [1])
    np.testing.assert_allclose(batch.positions[0, 0], [0, 0], atol=1e-6)
    np.testing.assert_allclose(batch.row_headings[0, 0], [0, 1], atol=1e-6)
    newest = batch.histories[0, 0, -1]
    np.testing.assert_allclose(newest, [0, 0.75, 1.85, 1], atol=1e-5)


def test_a_history_ends_with_the_newest_vector_and_begins_with_those_that_were_not_observed(make_scenario) -> None:
    batch = see(make_scenario(history_steps=5), [0])
    assert batch.histories.shape[2:] == (19, 4)
    assert batch.histories[0, 0, :, 3].tolist() == [0.0] * 15 + [1.0] * 4
    assert (batch.histories[0, 0, :15, :2] == 0).all()
    np.testing.assert_allclose(batch.histories[0, 0, :, 2], 0.05 + 0.1 * np.arange(19), atol=1e-6)
    longer = see(make_scenario(history_steps=12, steps=20), [0], history_vectors=4)
    assert longer.histories.shape[2] == 4
    assert (longer.histories[0, 0, :, 3] == 1).all()


@given(turn=st.floats(-3.2, 3.2), x=st.floats(-500, 500), seed=st.integers(0, 20))
def test_a_view_does_not_depend_on_where_the_city_lies(
    random_scenario, moved, turn: float, x: float, seed: int
) -> None:
    """Also not where the agent drives along an axis: the released code's regression has no slope there."""
    scenario = random_scenario(seed)
    here, there = see(scenario, [scenario.focal]), see(moved(scenario, SE2(x, -x, turn)), [scenario.focal])
    np.testing.assert_allclose(there.histories, here.histories, atol=1e-4)
    if here.lanes_valid.sum() == there.lanes_valid.sum():  # one may lie just at the limit
        np.testing.assert_allclose(there.positions, here.positions, atol=1e-3)


def test_lanes_have_the_released_codes_of_their_attributes(make_scenario) -> None:
    scenario = make_scenario()
    lanes = scenario.map
    scenario = replace(
        scenario,
        map=replace(
            lanes,
            turns=np.array([Turn.NONE, Turn.LEFT, Turn.RIGHT]),
            has_traffic_control=np.array([False, False, True]),
        ),
    )
    batch = see(scenario, [0])
    assert batch.lanes[0, :, 0, 4:].tolist() == [[1, 1, 1], [2, 2, 1], [1, 3, 2]]
    assert batch.lanes.shape == (1, 3, 9, 7)
    np.testing.assert_array_equal(batch.lanes[0, :, 1:, :2], batch.lanes[0, :, :-1, 2:4])  # chained


def test_each_predicted_agent_has_its_own_view_or_all_share_the_focal_one(make_scenario) -> None:
    scenario = make_scenario(agents=3)
    own, shared = see(scenario, [2, 0]), see(scenario, [2, 0], view="scene")
    assert (own.rows.shape, shared.rows.shape) == ((2, 1), (1, 2))
    np.testing.assert_allclose(own.futures.flatten(0, 1), shared.futures.flatten(0, 1))
    np.testing.assert_allclose(shared.positions[0, shared.rows[0]], [[-8, 4 * 0.5 - 4], [0, 0]], atol=1e-5)


def test_agents_asked_about_stay_and_others_are_seen_only_near(make_scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    position = np.zeros((4, 15, 2))
    position[:, :, 0] = np.arange(15)
    position[:, :, 1] = np.array([0.0, 55.0, 57.0, 300.0])[:, None]
    scenario = make_scenario(position=position)
    assert see(scenario, [0]).agents_valid.sum() == 2
    assert see(scenario, [0, 3], view="scene").agents_valid.sum() == 3
    monkeypatch.setattr(shown, "MAX_AGENTS", 1)
    assert see(scenario, [0]).agents_valid.sum() == 1
    assert see(scenario, [0, 3], view="scene").agents_valid.sum() == 2


def test_lanes_out_of_reach_leave_one_row_that_is_none(make_scenario) -> None:
    scenario = make_scenario()
    far = replace(scenario, map=replace(scenario.map, points=scenario.map.points + 1000.0))
    batch = see(far, [0])
    assert batch.lanes.shape[1] == 1
    assert not batch.lanes_valid.any()


def test_a_mirrored_view_is_the_view_mirrored(random_scenario) -> None:
    scenario, input_ = random_scenario(3), SceneInput()
    prepared, asked = [input_.prepare(scenario)], [np.array([scenario.focal])]
    plain = input_.collate(prepared, asked)
    mirrored = input_.collate(prepared, asked, [Augmentation(mirrored=True)])
    flip = torch.tensor([-1.0, 1.0])
    np.testing.assert_allclose(mirrored.positions, plain.positions * flip, atol=1e-4)
    np.testing.assert_allclose(mirrored.histories[..., :2], plain.histories[..., :2] * flip, atol=1e-5)
    np.testing.assert_allclose(mirrored.futures, plain.futures * flip.flip(0), atol=1e-5)


def test_a_turn_moves_what_is_seen_and_not_what_is_asked(random_scenario) -> None:
    scenario, input_ = random_scenario(3), SceneInput()
    prepared, asked = [input_.prepare(scenario)], [np.array([scenario.focal])]
    plain, turned = (input_.collate(prepared, asked, [Augmentation(turn_rad=turn)]) for turn in (0.0, 0.3))
    np.testing.assert_array_equal(turned.futures, plain.futures)
    np.testing.assert_allclose(turned.row_headings[0, 0], [np.sin(0.3), np.cos(0.3)], atol=1e-6)
