"""Point operations in a graph, compared with those outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float, Int
from torch import Tensor, nn

from perception.batches import TensorRecord
from perception.clouds.grouping import ball_query, farthest_points, nearest_neighbors, three_nearest
from perception.clouds.traced import ball_query_traced

pytest.importorskip("onnxscript")
RADIUS, COUNT, NEAREST = 0.5, 4, 6


@dataclass(frozen=True)
class Cloud(TensorRecord):
    points: Float[Tensor, "clouds points 3"]
    queries: Float[Tensor, "clouds queries 3"]


@dataclass(frozen=True)
class Found:
    farthest: Int[Tensor, "clouds chosen"]
    inside: Int[Tensor, "clouds queries count"]
    nearest: Int[Tensor, "clouds queries nearest"]
    distances: Float[Tensor, "clouds queries nearest"]
    three: Int[Tensor, "clouds queries 3"]


def search(_model: nn.Module, cloud: Cloud) -> Found:
    distances, nearest = nearest_neighbors(cloud.queries, cloud.points, NEAREST)
    return Found(
        farthest_points(cloud.points, 9),
        ball_query(cloud.queries, cloud.points, RADIUS, COUNT),
        nearest,
        distances,
        three_nearest(cloud.queries, cloud.points)[1],
    )


@pytest.fixture(scope="module")
def graph():
    from onnxruntime import InferenceSession

    from perception_tools.export.graph import GraphSource, trace

    proto = trace(GraphSource(nn.Identity(), search), Cloud(torch.randn(2, 30, 3), torch.randn(2, 5, 3)))
    assert {node.domain for node in proto.graph.node} <= {"", "ai.onnx"}
    return InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(NEAREST, 60), st.booleans())
def test_a_graph_finds_the_same_points_whatever_ties(graph, seed: int, clouds: int, points: int, tied: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    given_points = torch.randn(clouds, points, 3, generator=generator)
    if tied:
        given_points = given_points.mul(2).round().div(4)
    cloud = Cloud(given_points, given_points[:, : points // 2 + 1].contiguous())
    expected = search(nn.Identity(), cloud)
    names = [output.name for output in graph.get_outputs()]
    given_arrays = {"points": cloud.points.numpy(), "queries": cloud.queries.numpy()}
    found = dict(zip(names, graph.run(names, given_arrays), strict=True))
    np.testing.assert_allclose(found.pop("distances"), expected.distances, rtol=1e-6)  # roots may round otherwise
    for name, index in found.items():
        np.testing.assert_array_equal(index, getattr(expected, name).numpy(), err_msg=name)


def test_a_ball_without_a_point_gets_the_first_one() -> None:
    squared = torch.full((1, 2, 5), 9.0)
    squared[0, 1, 3] = 0.0
    assert ball_query_traced(squared, RADIUS, 3).tolist() == [[[0, 0, 0], [3, 3, 3]]]
