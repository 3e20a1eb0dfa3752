import numpy as np
import pytest

from perception_datasets.procedural.lane_graph import LaneGraph, make_lane_graph
from perception_datasets.procedural.routes import (
    COMFORTABLE_BRAKING_MPS2,
    FINE_M,
    LATERAL_ACCELERATION_MPS2,
    NEAR_M,
    NearTable,
    make_route,
    make_way,
)


@pytest.fixture(scope="module")
def graphs() -> list[LaneGraph]:
    return [make_lane_graph(np.random.default_rng(seed)) for seed in range(6)]


def test_the_near_table_states_which_points_are_near_and_nothing_is_near_nowhere(graphs: list[LaneGraph]) -> None:
    table = NearTable(graphs[0])
    distance = np.linalg.norm(table.points[:200, None] - table.points, axis=2)
    clear = np.abs(distance - NEAR_M) > 1e-3  # the table is computed in single precision
    np.testing.assert_array_equal(table.near[:200, :-1][clear], (distance < NEAR_M)[clear])
    assert not table.near[table.nowhere].any()
    assert not table.near[:, table.nowhere].any()


def test_points_of_a_route_are_evenly_spaced_and_near_their_cells(graphs: list[LaneGraph]) -> None:
    rng = np.random.default_rng(0)
    for graph in graphs:
        table = NearTable(graph)
        for entry in graph.entries:
            route = make_route(graph, table, make_way(graph, entry, rng))
            steps = np.linalg.norm(np.diff(route.xy, axis=0), axis=1)
            np.testing.assert_allclose(steps, FINE_M, atol=0.02)
            assert np.abs(np.diff(route.heading)).max() < 0.3
            cells = table.points[route.cells]
            assert np.linalg.norm(cells - route.xy[::4], axis=1).max() < 1.6


def test_speeds_leave_room_to_brake_and_curves_can_be_driven(graphs: list[LaneGraph]) -> None:
    rng = np.random.default_rng(0)
    for graph in graphs:
        route = make_route(graph, NearTable(graph), make_way(graph, graph.entries[0], rng))
        braking = -np.diff(route.speed_mps**2) / (2 * FINE_M)
        assert braking.max() < COMFORTABLE_BRAKING_MPS2 + 1e-6
        curvature = np.abs(np.gradient(route.heading, FINE_M))
        assert (route.speed_mps**2 * curvature).max() < LATERAL_ACCELERATION_MPS2 + 0.05


def test_conflicts_are_mutual_and_never_between_turns_from_one_lane(graphs: list[LaneGraph]) -> None:
    found = 0
    for graph in graphs:
        conflicts = NearTable(graph).conflicts(graph)
        for segment, others in conflicts.items():
            for other in others:
                assert segment in conflicts[other]
                assert graph.segments[segment].predecessors != graph.segments[other].predecessors
                found += 1
    assert found > 20
