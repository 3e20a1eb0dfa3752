import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.traffic.scenario import MapPolylines
from perception_datasets.argoverse.polylines import lane_heading, resample

# Coordinates on a 1 mm grid, as in the data sets, so that different vertices are not closer than that.
coordinate = st.integers(-5_000_000, 5_000_000).map(lambda mm: mm / 1000)
polyline = st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=12)


def resample_one(points: np.ndarray, num_points: int) -> np.ndarray:
    """Reference implementation for one polyline, with np.interp for each coordinate."""
    travelled = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    wanted = np.linspace(0.0, travelled[-1], num_points)
    return np.stack([np.interp(wanted, travelled, points[:, axis]) for axis in range(2)], axis=1)


@settings(deadline=None, max_examples=60)
@given(polylines=st.lists(polyline, min_size=1, max_size=6), num_points=st.integers(2, 12))
def test_resampling_many_polylines_at_once_equals_one_by_one(polylines: list, num_points: int) -> None:
    counts = np.array([len(p) for p in polylines])
    vertices = np.array([vertex for p in polylines for vertex in p])
    together = resample(vertices, counts, num_points)
    assert together.shape == (len(polylines), num_points, 2)
    for given_vertices, points in zip(polylines, together, strict=True):
        np.testing.assert_allclose(points, resample_one(np.array(given_vertices), num_points), atol=1e-6)
        np.testing.assert_array_equal(points[[0, -1]], np.array(given_vertices)[[0, -1]])


@settings(deadline=None, max_examples=40)
@given(polylines=st.lists(polyline, min_size=1, max_size=6), others=st.lists(polyline, min_size=1, max_size=6))
def test_a_polyline_has_the_same_bits_beside_whichever_others(polylines: list, others: list) -> None:
    def resampled(lines: list) -> np.ndarray:
        return resample(
            np.array([vertex for line in lines for vertex in line]), np.array([len(line) for line in lines])
        )

    np.testing.assert_array_equal(resampled([*others, *polylines])[len(others) :], resampled(polylines), strict=True)


@settings(deadline=None, max_examples=40)
@given(
    points=st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=12, unique=True), extra=st.integers(1, 5)
)
def test_repeated_vertices_change_nothing(points: list, extra: int) -> None:
    once = np.array(points)
    where = extra % len(points)
    repeated = np.insert(once, where, np.repeat(once[where : where + 1], extra, axis=0), axis=0)
    expected = resample(once, np.array([len(once)]))
    np.testing.assert_allclose(resample(repeated, np.array([len(repeated)])), expected, atol=1e-6)


def test_points_on_a_straight_line_lie_at_equal_distances() -> None:
    points = resample(np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]]), np.array([3]))[0]
    np.testing.assert_allclose(points[:, 0], np.arange(10.0), atol=1e-12)


def lanes_at(*ys: float) -> MapPolylines:
    x, y = np.broadcast_arrays(np.linspace(0, 9, 10), np.array(ys)[:, None])
    points = np.stack([x, y], axis=2)
    none = np.zeros(len(ys), int)
    return MapPolylines(np.arange(len(ys)), points, none, none, none.astype(bool), none.astype(bool))


def test_lane_heading_is_that_of_the_nearest_piece_within_reach() -> None:
    lanes = lanes_at(0.0, 10.0)
    lanes.points[1] = lanes.points[1, ::-1]  # the second runs westwards
    heading, found = lane_heading(np.array([[4.0, 1.0], [4.0, 9.0], [4.0, 5.0]]), lanes, within_m=2.0)
    np.testing.assert_allclose(np.cos(heading[:2]), [1.0, -1.0])
    assert found.tolist() == [True, True, False]


def test_lane_heading_without_lanes_finds_nothing() -> None:
    assert not lane_heading(np.zeros((2, 2)), lanes_at(), within_m=2.0)[1].any()
