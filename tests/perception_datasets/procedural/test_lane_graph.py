import numpy as np
import pytest

from perception_datasets.procedural.lane_graph import LaneGraph, Priority, make_lane_graph


@pytest.fixture(scope="module")
def graphs() -> list[LaneGraph]:
    return [make_lane_graph(np.random.default_rng(seed)) for seed in range(40)]


def test_successors_continue_position_and_direction_of_their_predecessors(graphs: list[LaneGraph]) -> None:
    for graph in graphs:
        for segment in graph.segments.values():
            for successor in segment.successors:
                after = graph.segments[successor]
                np.testing.assert_allclose(segment.centerline[-1], after.centerline[0], atol=0.15)
                out, into = segment.centerline[-1] - segment.centerline[-2], after.centerline[1] - after.centerline[0]
                assert out @ into > 0.95 * np.linalg.norm(out) * np.linalg.norm(into)
                assert segment.id in after.predecessors


def test_every_lane_is_reached_from_an_entry(graphs: list[LaneGraph]) -> None:
    for graph in graphs:
        reached = set(graph.entries)
        todo = list(reached)
        while todo:
            for successor in graph.segments[todo.pop()].successors:
                if successor not in reached:
                    reached.add(successor)
                    todo.append(successor)
        assert len(reached) > 0.9 * len(graph.segments)


def test_networks_have_branches_and_all_layouts_occur(graphs: list[LaneGraph]) -> None:
    choices = [max(len(s.successors) for s in graph.segments.values()) for graph in graphs]
    junctions = [len(graph.rules) for graph in graphs]
    merges = sum(any(len(s.predecessors) > 1 and not s.is_intersection for s in g.segments.values()) for g in graphs)
    assert max(choices) >= 3
    assert {1, 2} <= set(junctions)
    assert merges > 3
    assert {rule for graph in graphs for rule in graph.rules} == {0, 1, 2}


def test_left_turns_wait_for_oncoming_traffic(graphs: list[LaneGraph]) -> None:
    left, straight = [], []
    for graph in graphs:
        for segment in graph.segments.values():
            if segment.is_intersection:
                ends = segment.centerline[[1, -1]] - segment.centerline[[0, -2]]
                turned = np.diff(np.unwrap(np.arctan2(ends[:, 1], ends[:, 0])))[0]
                if turned > 1.0:
                    left.append(segment.priority)
                elif abs(turned) < 0.3:
                    straight.append(segment.priority)
    assert max(left) == Priority.LEFT_TURN
    assert Priority.MAJOR in straight
