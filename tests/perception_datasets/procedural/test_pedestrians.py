import numpy as np
import pytest

from perception_datasets.procedural.lane_graph import Crosswalk, LaneGraph
from perception_datasets.procedural.pedestrians import Pedestrians


@pytest.fixture
def graph() -> LaneGraph:
    """A kerb along y = 0 and a crosswalk of 8 m."""
    graph = LaneGraph()
    graph.kerbs.append(np.stack([np.arange(60.0), np.zeros(60)], axis=1))
    graph.crosswalks.append(Crosswalk(9000, np.array([[30.0, 0.0], [30.0, 8.0]]), 3.0, ()))
    return graph


def walk(people: Pedestrians, claimed_crosswalks: set[int], seconds: float) -> np.ndarray:
    """Returns the metres walked after every fifth of a second."""
    walked = []
    for _ in range(round(seconds / 0.2)):
        people.step(0.2, claimed_crosswalks)
        walked.append(people.walked.copy())
    return np.array(walked)


def test_pedestrians_wait_at_a_claimed_crosswalk(graph: LaneGraph) -> None:
    people = Pedestrians(graph, 12, np.random.default_rng(1))
    crossers = np.array(people.crosswalk) == 0
    assert crossers.any()
    assert (~crossers).any()
    walked = walk(people, claimed_crosswalks={0}, seconds=40)
    assert walked[-1, crossers].max() < 8.0  # the kerb
    assert walked[-1, ~crossers].min() > 20.0
    assert not any(people.on_road(row) for row in range(12))
    assert people.blocked_crosswalks() == {0}  # they have waited long enough


def test_pedestrians_cross_a_free_crosswalk_at_walking_speed(graph: LaneGraph) -> None:
    people = Pedestrians(graph, 12, np.random.default_rng(1))
    before = people.walked.copy()
    walked = walk(people, claimed_crosswalks=set(), seconds=40)
    assert (walked[-1] - before).min() > 25.0
    steps = np.diff(walked, axis=0) / 0.2
    assert steps.min() >= 0.0
    assert steps.max() < 2.1
    assert people.blocked_crosswalks() == set()


def test_lines_lead_over_the_road_at_crosswalks_and_beside_it_elsewhere(graph: LaneGraph) -> None:
    people = Pedestrians(graph, 12, np.random.default_rng(1))
    position, heading = people.poses(np.tile([[0.0], [12.0]], (1, 12)))
    for row, crosswalk in enumerate(people.crosswalk):
        y = position[row, :, 1]
        if crosswalk == 0:
            assert abs(position[row, 0, 0] - 30.0) < 1.1
            assert y[1] == pytest.approx(4.0)  # 12 m on: 8 m of pavement, half the road
        else:
            assert (y < -4.0).all()  # right of the kerb, away from the road
            assert np.abs(np.sin(heading[row])).max() < 1e-9


def test_a_motorway_has_no_pedestrians() -> None:
    assert Pedestrians(LaneGraph(), 5, np.random.default_rng(0)).lines == []
