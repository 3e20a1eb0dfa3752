"""The query-centric encoder: the same whatever way the scene lies, sparse, and nothing seen that is not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from perception.encoders.forecasting import MapEncoder, ModeTokens
from perception.encoders.query_centric.batch import GraphBatch
from perception.encoders.query_centric.network import HistoryEncoder, LaneEncoder, QueryCentric, RelationEmbedding
from perception.geometry import SE2
from perception.traffic.scenario import Scenario

few = settings(max_examples=15)


@pytest.fixture(scope="module")
def encoder() -> QueryCentric:
    torch.manual_seed(0)
    return QueryCentric(dim=16, heads=2, modes=3, max_tokens=12).eval()


def show(encoder: QueryCentric, *scenarios: Scenario) -> GraphBatch:
    """All agents that are seen are asked about."""
    seen = [np.flatnonzero(scenario.agents.valid[:, scenario.present]) for scenario in scenarios]
    return encoder.input.collate([encoder.input.prepare(scenario) for scenario in scenarios], seen)


def encode(encoder: QueryCentric, *scenarios: Scenario) -> tuple[ModeTokens, GraphBatch]:
    batch = show(encoder, *scenarios)
    with torch.no_grad():
        return encoder(batch), batch


def test_it_has_fewer_than_two_million_parameters() -> None:
    assert 1_000_000 < sum(parameter.numel() for parameter in QueryCentric().parameters()) <= 2_000_000


@few
@given(seed=st.integers(0, 1000), turn=st.floats(-3.2, 3.2), x=st.floats(-2000, 2000))
def test_turning_and_moving_the_scene_changes_nothing(
    encoder: QueryCentric, random_scenario, moved, seed: int, turn: float, x: float
) -> None:
    scenario = random_scenario(seed)
    (here, batch), (there, other) = encode(encoder, scenario), encode(encoder, moved(scenario, SE2(x, -2 * x, turn)))
    if batch.token_index.shape == other.token_index.shape:  # a lane may lie just at the limit of what is in reach
        torch.testing.assert_close(there.values, here.values, atol=2e-3, rtol=0)
        torch.testing.assert_close(there.modes, here.modes, atol=2e-3, rtol=0)


@few
@given(seed=st.integers(0, 1000), turn=st.floats(-3.2, 3.2), x=st.floats(-50, 50))
def test_turning_and_moving_the_frames_of_a_batch_changes_nothing(
    encoder: QueryCentric, random_scenario, seed: int, turn: float, x: float
) -> None:
    """The network itself, without what the input chooses: the choice of neighbours stays the same here."""
    batch = show(encoder, random_scenario(seed))

    def move(poses: torch.Tensor) -> torch.Tensor:
        cos, sin = np.cos(turn), np.sin(turn)
        turned = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float32)
        place = torch.tensor([x, -x])
        return torch.cat([poses[:, :2] @ turned + place, poses[:, 2:] @ turned], dim=-1)

    with torch.no_grad():
        here = encoder(batch)
        there = encoder(replace(batch, agent_poses=move(batch.agent_poses), lane_poses=move(batch.lane_poses)))
    torch.testing.assert_close(there.values, here.values, atol=2e-4, rtol=0)
    torch.testing.assert_close(there.modes, here.modes, atol=2e-4, rtol=0)


@few
@given(seeds=st.lists(st.integers(0, 1000), min_size=2, max_size=4))
def test_a_scene_is_encoded_beside_others_as_alone(encoder: QueryCentric, random_scenario, seeds: list[int]) -> None:
    scenarios = [random_scenario(seed) for seed in seeds]
    together, batch = encode(encoder, *scenarios)
    assert together.values[~together.valid].abs().sum() == 0
    for number, scenario in enumerate(scenarios):
        alone, _ = encode(encoder, scenario)
        torch.testing.assert_close(together.values[number, together.valid[number]], alone.values[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.modes[number, batch.rows_valid[number]], alone.modes[0], atol=1e-5, rtol=0)


def test_an_element_that_is_no_neighbour_of_anybody_changes_nothing(encoder: QueryCentric, random_scenario) -> None:
    batch = show(encoder, random_scenario(5))
    last = len(batch.agent_kinds) - 1
    nobody = replace(
        batch,
        agent_neighbours_valid=batch.agent_neighbours_valid & (batch.agent_neighbours != last),
        lane_neighbours_valid=batch.lane_neighbours_valid & (batch.lane_neighbours != last),
    )
    vectors = nobody.agent_vectors.clone()
    vectors[last] += 1.0
    with torch.no_grad():
        before, after = encoder(nobody), encoder(replace(nobody, agent_vectors=vectors))
    others = torch.arange(before.values.shape[1]) != last
    assert torch.equal(before.values[0, others], after.values[0, others])
    assert not torch.allclose(before.values[0, last], after.values[0, last])


def test_a_neighbour_of_a_neighbour_is_seen_through_two_layers(encoder: QueryCentric, random_scenario) -> None:
    batch = show(encoder, random_scenario(5))
    vectors = batch.lane_vectors.clone()
    vectors[0] += 1.0
    with torch.no_grad():
        before, after = encoder(batch), encoder(replace(batch, lane_vectors=vectors))
    assert not torch.allclose(before.values[0, 0], after.values[0, 0])
    assert not torch.allclose(before.modes[0, 0], after.modes[0, 0])


def test_the_work_grows_with_the_elements_and_not_with_their_square(encoder: QueryCentric, make_scenario) -> None:
    """Counted in multiplications, of scenes so large that all have as many neighbours as they can have."""
    from torch.utils.flop_counter import FlopCounterMode

    counted = []
    for agents in (20, 40, 80):
        batch = show(encoder, make_scenario(agents=agents))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            encoder(batch)
        counted.append(counter.get_total_flops())
    first, second = np.diff(counted)
    assert second == pytest.approx(2 * first, rel=1e-3)


def test_features_of_a_map_that_are_kept_give_the_same_tokens(encoder: QueryCentric, random_scenario) -> None:
    assert isinstance(encoder, MapEncoder)
    scenarios = [random_scenario(seed) for seed in (3, 4)]
    batch = show(encoder, *scenarios)
    kept = torch.cat([encoder.encode_map(scenario.map) for scenario in scenarios])
    with torch.inference_mode():
        anew, again = encoder(batch), encoder(batch, kept)
    torch.testing.assert_close(again.values, anew.values, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.modes, anew.modes, atol=1e-5, rtol=0)


def test_the_queries_of_an_agent_are_different_and_do_not_decay(encoder: QueryCentric, random_scenario) -> None:
    tokens, _ = encode(encoder, random_scenario(3))
    first, second, _ = tokens.modes[0].unbind(1)
    assert (first - second).abs().amax(-1).min() > 0.1
    assert encoder.get_parameter(*encoder.no_weight_decay()) is encoder.decoder.queries


def test_an_edge_says_distance_bearing_and_relative_heading_of_the_others_frame() -> None:
    """Written down by hand: what a frame at (3, 4) looking along +y is for one at (1, 0) looking along +x."""
    features: list[torch.Tensor] = []
    relation = RelationEmbedding(8)
    relation.mlp.register_forward_pre_hook(lambda _module, given: features.append(given[0]))
    relation(torch.tensor([[1.0, 0.0, 1.0, 0.0]]), torch.tensor([[[3.0, 4.0, 0.0, 1.0]]]))
    distance = 20**0.5
    expected = [distance / 50, np.log1p(distance), 2 / (distance + 1), 4 / (distance + 1), 0, 1]
    torch.testing.assert_close(features[0][0, 0, :6], torch.tensor(expected, dtype=torch.float32))


def test_an_agent_without_a_past_is_encoded_and_unseen_steps_say_nothing() -> None:
    torch.manual_seed(0)
    history = HistoryEncoder(8)
    vectors, kinds = torch.randn(2, 4, 10), torch.zeros(2, dtype=torch.long)
    valid = torch.tensor([[False] * 4, [False, True, True, True]])
    features = history(vectors * valid.unsqueeze(-1), valid, kinds)
    assert features.isfinite().all()
    shorter = history(vectors[:, 1:] * valid[:, 1:].unsqueeze(-1), valid[:, 1:], kinds)
    torch.testing.assert_close(shorter, features)


@pytest.mark.parametrize("vectors", [1, 9, 20])
def test_lanes_may_have_any_number_of_vectors_and_there_may_be_none(vectors: int) -> None:
    lane = LaneEncoder(8)
    assert lane(torch.randn(0, vectors, 12)).shape == (0, 8)
    features = lane(torch.randn(3, vectors, 12))
    assert features.shape == (3, 8)
    assert not torch.allclose(features[0], features[1])


def test_gradients_reach_every_parameter(random_scenario) -> None:
    torch.manual_seed(0)
    encoder: nn.Module = QueryCentric(dim=16, heads=2, modes=3, max_tokens=12, dropout=0.0)
    tokens = encoder(show(encoder, random_scenario(3), random_scenario(4)))
    (tokens.values.pow(3).mean() + tokens.modes.pow(3).mean()).backward()
    silent = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    # a shift of all keys alike has no gradient through a softmax
    assert [name for name in silent if "query_key_value.bias" not in name] == []
