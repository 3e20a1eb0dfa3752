"""VectorNet's symmetries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from perception.attention import Neighbours
from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.network import PolylineSubgraph, SubgraphLayer, VectorNet, relative_poses
from perception.encoders.vectornet.vectorize import vectorize
from perception.encoders.vectornet.views import View, make_views
from perception.geometry import SE2
from perception.traffic.map_index import take
from perception.traffic.scenario import Scenario


@pytest.fixture(params=["agent", "pairwise"])
def view(request: pytest.FixtureRequest) -> View:
    """Both kinds of global graph."""
    return request.param


def make_batch(*given: Any, **options: Any) -> VectorBatch:
    return VectorBatch.of(make_views(*given, **options))


@pytest.fixture
def batch(make_scenario: Callable[..., Scenario], view: View) -> VectorBatch:
    """Two scenarios of different size."""
    vectors = [vectorize(make_scenario("a", agents=3)), vectorize(make_scenario("b", agents=2))]
    return make_batch(vectors, [np.array([0, 2]), np.array([1])], view=view, max_tokens=4)


def tiny(view: View = "agent") -> VectorNet:
    torch.manual_seed(0)
    return VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view=view).eval()


def test_a_polylines_feature_ignores_the_order_of_its_vectors_and_what_is_not_valid() -> None:
    subgraph = PolylineSubgraph(3, (4, 8, 8), 5)
    vectors, valid = torch.randn(2, 6, 3), torch.rand(2, 6) < 0.6
    order = torch.randperm(6)
    feature = subgraph(vectors, valid)
    torch.testing.assert_close(subgraph(vectors[:, order], valid[:, order]), feature)
    torch.testing.assert_close(subgraph(torch.where(valid[..., None], vectors, 1e3), valid), feature)


@pytest.mark.parametrize("polylines", [0, 1, 8, 11])
def test_in_inference_polylines_are_filled_up_and_their_features_stay(polylines: int) -> None:
    subgraph = PolylineSubgraph(3, (4, 8, 8), 5)
    vectors, valid = torch.randn(polylines, 6, 3), torch.rand(polylines, 6) < 0.6
    for known in (valid, None):
        with torch.no_grad():
            filled = subgraph(vectors, known)
        assert filled.shape == (polylines, 5)
        torch.testing.assert_close(filled, subgraph(vectors, known).detach())


def test_the_split_linear_map_equals_the_papers_concatenation() -> None:
    layer = SubgraphLayer(4, 8, pooled_features=4)
    assert layer.pooled is not None
    x, pooled = torch.randn(2, 6, 4), torch.randn(2, 4)
    weight = torch.cat([layer.vector.weight, layer.pooled.weight], dim=1)
    concatenated = torch.cat([x, pooled[:, None].expand(-1, 6, -1)], dim=-1)
    expected = layer.rest(torch.nn.functional.linear(concatenated, weight, layer.vector.bias))
    torch.testing.assert_close(layer(x, pooled), expected)


def test_tokens_do_not_depend_on_the_other_scenarios_of_the_batch(
    batch: VectorBatch, make_scenario: Callable[..., Scenario], view: View
) -> None:
    encoder = tiny(view)
    vectors = vectorize(make_scenario("b", agents=2))
    alone = make_batch([vectors], [np.array([1])], view=view, max_tokens=4)
    together, single = encoder(batch), encoder(alone)
    count = single.values.shape[1]
    torch.testing.assert_close(together.values[-1, :count], single.values[0])
    assert together.valid[-1].sum() == count


def test_a_token_moves_with_its_polyline_when_others_change_places(batch: VectorBatch, view: View) -> None:
    encoder = tiny(view)
    tokens = batch.token_index.shape[1]
    order = torch.arange(tokens).flip(0)
    neighbours = Neighbours(tokens - 1 - batch.neighbours.index[:, order], batch.neighbours.valid[:, order])
    shuffled = replace(
        batch,
        token_index=batch.token_index[:, order],
        token_poses=batch.token_poses[:, order],
        token_valid=batch.token_valid[:, order],
        neighbours=neighbours,
    )
    torch.testing.assert_close(encoder(shuffled).values, encoder(batch).values[:, order])


@pytest.mark.parametrize("layers", [1, 2])
def test_in_the_pairwise_view_it_does_not_matter_where_the_view_stands(
    make_scenario: Callable[..., Scenario], layers: int
) -> None:
    torch.manual_seed(0)
    encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view="pairwise", global_layers=layers).eval()
    vectors = vectorize(make_scenario(agents=3))
    batches = [make_batch([vectors], [np.array([0])], view="pairwise", turn_rad=[turn]) for turn in (0.0, 2.0)]
    here, turned = (encoder(batch).values for batch in batches)
    torch.testing.assert_close(turned, here, rtol=1e-4, atol=1e-4)
    one_moves = vectors.agent_poses + np.array([[0, 0, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    other = make_batch([replace(vectors, agent_poses=one_moves)], [np.array([0])], view="pairwise")
    assert (encoder(other).values - here)[0, 0].abs().max() > 1e-3, "but where others lie does"


def test_relative_poses_are_those_of_geometry(make_scenario: Callable[..., Scenario]) -> None:
    vectors = vectorize(make_scenario(agents=3))
    batch = make_batch([vectors], [np.array([0])], view="pairwise", max_tokens=5)
    poses = [SE2(x, y, float(np.arctan2(sin, cos))) for x, y, cos, sin in batch.token_poses[0].tolist()]
    relative = relative_poses(batch.token_poses, batch.neighbours)
    for token, place in batch.neighbours.valid[0].nonzero().tolist():
        expected = poses[token].inverse() @ poses[int(batch.neighbours.index[0, token, place])]
        found = [expected.x_m, expected.y_m, np.cos(expected.heading_rad), np.sin(expected.heading_rad)]
        np.testing.assert_allclose(relative[0, token, place], found, atol=1e-4)


def test_moving_the_whole_city_changes_nothing(make_scenario: Callable[..., Scenario], view: View) -> None:
    scenario = make_scenario()
    turn = 0.7
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def moved(points: np.ndarray) -> np.ndarray:
        return points @ rotation.T + np.array([2000.0, -500.0])

    elsewhere = replace(
        scenario,
        agents=replace(
            scenario.agents,
            position=moved(scenario.agents.position),
            heading=scenario.agents.heading + turn,
            velocity=scenario.agents.velocity @ rotation.T,
        ),
        map=replace(scenario.map, points=moved(scenario.map.points)),
    )
    encoder, pair = tiny(view), [vectorize(scenario), vectorize(elsewhere)]
    here, there = (encoder(make_batch([vectors], [np.array([0, 1])], view=view)) for vectors in pair)
    torch.testing.assert_close(there.values, here.values, rtol=1e-4, atol=1e-4)


def test_every_parameter_learns(batch: VectorBatch, view: View) -> None:
    encoder = tiny(view)
    tokens = encoder(batch)
    (tokens.values * torch.randn_like(tokens.values) * tokens.valid[..., None]).sum().backward()
    silent = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_a_map_encoded_in_pieces_has_the_features_of_its_polylines(
    make_scenario: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, lanes = tiny(), make_scenario().map
    many = take(lanes, np.arange(11) % len(lanes))
    whole = encoder.encode_map(many)
    monkeypatch.setattr("perception.encoders.vectornet.network.LANES_AT_ONCE", 4)
    sizes: list[int] = []
    encoder.lane_subgraph.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    torch.testing.assert_close(encoder.encode_map(many), whole)
    assert sizes == [4, 4, 3]
    assert encoder.encode_map(take(lanes, np.arange(0))).shape == (0, 16)
