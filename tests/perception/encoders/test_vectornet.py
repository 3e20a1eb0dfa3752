"""VectorNet's symmetries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from perception.encoders.vectornet import PolylineSubgraph, SubgraphLayer, VectorNet
from perception.forecasting.scenario import Scenario
from perception.forecasting.vectorize import vectorize
from perception.forecasting.views import VectorBatch, make_batch


@pytest.fixture
def batch(make_scenario: Callable[..., Scenario]) -> VectorBatch:
    """Two scenarios of different size."""
    vectors = [vectorize(make_scenario("a", agents=3)), vectorize(make_scenario("b", agents=2))]
    return make_batch(vectors, [np.array([0, 2]), np.array([1])])


def tiny() -> VectorNet:
    torch.manual_seed(0)
    return VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2).eval()


def test_a_polylines_feature_ignores_the_order_of_its_vectors_and_what_is_not_valid() -> None:
    subgraph = PolylineSubgraph(3, (4, 8, 8), 5)
    vectors, valid = torch.randn(2, 6, 3), torch.rand(2, 6) < 0.6
    order = torch.randperm(6)
    feature = subgraph(vectors, valid)
    torch.testing.assert_close(subgraph(vectors[:, order], valid[:, order]), feature)
    torch.testing.assert_close(subgraph(torch.where(valid[..., None], vectors, 1e3), valid), feature)


def test_the_split_linear_map_equals_the_papers_concatenation() -> None:
    layer = SubgraphLayer(4, 8, pooled_features=4)
    assert layer.pooled is not None
    x, pooled = torch.randn(2, 6, 4), torch.randn(2, 4)
    weight = torch.cat([layer.vector.weight, layer.pooled.weight], dim=1)
    concatenated = torch.cat([x, pooled[:, None].expand(-1, 6, -1)], dim=-1)
    expected = layer.rest(torch.nn.functional.linear(concatenated, weight, layer.vector.bias))
    torch.testing.assert_close(layer(x, pooled), expected)


def test_tokens_do_not_depend_on_the_other_scenarios_of_the_batch(
    batch: VectorBatch, make_scenario: Callable[..., Scenario]
) -> None:
    encoder = tiny()
    alone = make_batch([vectorize(make_scenario("b", agents=2))], [np.array([1])])
    together, single = encoder(batch), encoder(alone)
    count = single.values.shape[1]
    torch.testing.assert_close(together.values[2, :count], single.values[0])
    assert together.valid[2].sum() == count


def test_a_token_moves_with_its_polyline_when_others_change_places(batch: VectorBatch) -> None:
    encoder = tiny()
    order = torch.arange(batch.token_index.shape[1]).flip(0)
    shuffled = replace(
        batch,
        token_index=batch.token_index[:, order],
        token_poses=batch.token_poses[:, order],
        token_valid=batch.token_valid[:, order],
    )
    torch.testing.assert_close(encoder(shuffled).values, encoder(batch).values[:, order])


def test_moving_the_whole_city_changes_nothing(make_scenario: Callable[..., Scenario]) -> None:
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
    encoder = tiny()
    here, there = (encoder(make_batch([vectorize(s)], [np.array([0, 1])])) for s in (scenario, elsewhere))
    torch.testing.assert_close(there.values, here.values, rtol=1e-4, atol=1e-4)


def test_every_parameter_learns(batch: VectorBatch) -> None:
    encoder = tiny()
    tokens = encoder(batch)
    (tokens.values * torch.randn_like(tokens.values) * tokens.valid[..., None]).sum().backward()
    silent = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []
