import numpy as np
import pytest

from perception.traffic import map_index
from perception.traffic.map_index import MAX_CANDIDATES, MapIndex, last_seen
from perception.traffic.scenario import MapPolylines


def lanes_at(*ys: float) -> MapPolylines:
    x, y = np.broadcast_arrays(np.linspace(0, 9, 10), np.array(ys)[:, None])
    points = np.stack([x, y], axis=2)
    none = np.zeros(len(ys), int)
    return MapPolylines(np.arange(len(ys)), points, none, none, none.astype(bool), none.astype(bool))


def test_near_lanes_are_those_around_the_focal_agent_and_closer_ones_around_the_others() -> None:
    index = MapIndex(lanes_at(0, 99, 101, 149, 151, -101))
    position = np.array([[[0.0, 0.0]], [[0.0, 100.0]], [[0.0, 5000.0]]])
    valid = np.ones((3, 1), bool)
    assert index.near(position, valid, focal=0, present=0, radius_m=100.0).ids.tolist() == [0, 1, 2, 3]
    assert index.rows_near(position, valid, focal=0, present=0, radius_m=100.0).tolist() == [0, 1, 2, 3]
    valid[1] = False
    assert index.near(position, valid, focal=0, present=0, radius_m=100.0).ids.tolist() == [0, 1]


def test_many_lanes_and_agents_are_compared_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    index = MapIndex(lanes_at(*rng.uniform(-300, 300, 50)))
    position, valid = rng.uniform(-100, 100, (20, 1, 2)), np.ones((20, 1), bool)
    at_once = index.rows_near(position, valid, focal=0, present=0)
    monkeypatch.setattr(map_index, "_COMPARED_AT_ONCE", 700)
    assert index.rows_near(position, valid, focal=0, present=0).tolist() == at_once.tolist() != []


def test_of_very_many_lanes_those_nearest_to_the_focal_agent_are_looked_at() -> None:
    crowded = lanes_at(*np.linspace(140, -99, 2 * MAX_CANDIDATES))
    everywhere = np.ones((1, 1), bool)
    rows = MapIndex(crowded).rows_near(np.zeros((1, 1, 2)), everywhere, focal=0, present=0)
    assert len(rows) == MAX_CANDIDATES
    assert (np.diff(rows) > 0).all()
    left_out = np.setdiff1d(np.arange(len(crowded)), rows)
    assert np.abs(crowded.points[rows, 0, 1]).max() <= np.abs(crowded.points[left_out, 0, 1]).min()


def test_last_seen_never_looks_past_the_present_unless_the_track_begins_there() -> None:
    valid = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0]], bool)
    assert last_seen(valid, present=2).tolist() == [2, 0, 3, 1]
