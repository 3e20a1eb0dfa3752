from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from perception.errors import InputError
from perception_nodes.points import clustering
from perception_nodes.points.clustering import Clustering


def test_the_objects_of_a_street_are_found_with_most_points_first(street: np.ndarray) -> None:
    found = Clustering().find(street)
    assert [len(rows) for rows in found] == [200, 80, 30]
    middles = np.array([street[rows].mean(axis=0) for rows in found])
    np.testing.assert_allclose(middles, [(10, 2, 0.8), (6, -3, 0.9), (-5, 0, 1)], atol=0.3)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"min_points": 31}, [200, 80]),
        ({"max_size_m": 2.2}, [80, 30]),
        ({"max_range_m": 7.0}, [80, 30]),
        ({"high_m": -5.0}, []),
        ({"low_m": 5.5}, []),
        ({"max_objects": 1}, [200]),
        ({"min_points": 1}, [200, 80, 30, 1, 1, 1]),
    ],
)
def test_limits_leave_out_what_is_small_large_low_high_far_or_too_much(
    changes: dict, counts: list[int], street: np.ndarray
) -> None:
    assert [len(rows) for rows in Clustering(**changes).find(street)] == counts


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.full((4, 3), np.nan), np.full((4, 3), 1e30)])
def test_nothing_near_is_no_object(points: np.ndarray) -> None:
    with np.errstate(all="raise"):
        assert Clustering().find(points) == []


def test_a_million_points_of_a_small_thing_are_one_object() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (1_000_000, 3)).astype(np.float32)
    (found,) = Clustering().find(points)
    assert len(found) == 1_000_000


def test_a_cloud_that_fills_too_many_cells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).uniform(-90, 90, (2_000, 3))
    monkeypatch.setattr(clustering, "MAX_CELLS", 1_000)
    with pytest.raises(InputError, match=r"a cloud that fills [12],\d{3} cells of 0.25 m; expected at most 1,000"):
        Clustering().find(points)
    with pytest.raises(InputError, match="along an axis; raise distance_m"):
        Clustering(distance_m=1e-5).find(points)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 60))
def test_points_that_have_cells_of_their_own_fall_apart_as_by_dbscan(seed: int, count: int) -> None:
    """DBSCAN for which every point is a core point is single linkage."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(12**3)[:count, None] // np.array([1, 12, 144]) % 12
    points = 0.25 * places + rng.uniform(0.01, 0.2, (count, 3))
    expected = DBSCAN(eps=0.5, min_samples=1).fit_predict(points)
    found = Clustering(distance_m=0.5, min_points=1).find(points)
    assert {frozenset(rows.tolist()) for rows in found} == {
        frozenset(np.flatnonzero(expected == label).tolist()) for label in np.unique(expected)
    }


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_objects_far_apart_are_found_whatever_the_order_of_points_and_the_grid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blobs = [rng.uniform(-0.1, 0.1, (30, 3)) + 3 * (place // [1, 3, 9] % 3) for place in rng.permutation(27)[:4]]
    points, order = np.concatenate(blobs), rng.permutation(120)
    found = Clustering().find(points[order] + rng.uniform(-5, 5, 3))
    assert [len(rows) for rows in found] == [30] * 4
    assert {frozenset((order[rows] // 30).tolist()) for rows in found} == {frozenset({n}) for n in range(4)}
