import numpy as np
import pytest

from perception.geometry import SE3
from perception_datasets.scannet.scan import make_scan, whole_numbers

POINTS = np.arange(24, dtype=np.float32).reshape(8, 3)
COLORS = np.zeros((8, 3), np.uint8)
SEMANTIC = np.array([0, 1, 2, 22, 5, 5, 40, 7])
INSTANCE = np.array([0, 1, 2, 3, 9, 9, 4, 0])


def test_everything_but_walls_floors_and_ceilings_is_an_object() -> None:
    scene = make_scan("s", POINTS, COLORS, SEMANTIC, INSTANCE, None).scene
    assert scene.box_instances.tolist() == [4, 9]
    assert scene.box_classes.tolist() == [40, 5]
    np.testing.assert_array_equal(scene.boxes[1], [13.5, 14.5, 15.5, 3, 3, 3])


def test_positions_start_in_the_middle_of_the_raw_scan() -> None:
    quarter_turn = SE3(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.array([10.0, 0.0, 1.0]))
    points = quarter_turn.apply(np.array([[0.0, 0.0, 0.0], [4.0, 2.0, 6.0], [1.0, 1.0, 1.0]])).astype(np.float32)
    labels = np.zeros(3, np.int64)
    frame = make_scan("s", points, COLORS[:3], labels, labels, quarter_turn).scene_SE3_centred
    assert frame is not None
    np.testing.assert_allclose(frame.apply(np.zeros(3)), quarter_turn.apply(np.array([2.0, 1.0, 3.0])), atol=1e-6)
    np.testing.assert_array_equal(frame.rotation, quarter_turn.rotation)


@pytest.mark.parametrize(
    ("points", "semantic", "message"),
    [
        (POINTS[:0], SEMANTIC[:0], "expected points, found none"),
        (np.where(POINTS == 4, np.nan, POINTS), SEMANTIC, "expected finite points, found 1 that are not"),
        (POINTS, SEMANTIC + 1, "expected NYU40 classes 0 to 40 .* found classes 1 to 41"),
    ],
)
def test_invalid_arrays_are_refused(points: np.ndarray, semantic: np.ndarray, message: str) -> None:
    count = len(points)
    with pytest.raises(ValueError, match=message):
        make_scan("s", points, COLORS[:count], semantic, INSTANCE[:count], None)


def test_points_and_instances_out_of_range_are_refused() -> None:
    far = POINTS + np.float32(1e7)
    with pytest.raises(ValueError, match=r"expected points within 1000 m of the origin, found 1e\+07 m"):
        make_scan("s", far, COLORS, SEMANTIC, INSTANCE, None)
    with pytest.raises(ValueError, match=r"instances 0 to 2147483647, found .* instances 0 to 2147483657"):
        make_scan("s", POINTS, COLORS, SEMANTIC, INSTANCE + (INSTANCE == 9) * 2**31, None)


def test_labels_are_whole_numbers_of_any_type() -> None:
    for kind in (np.uint8, np.int32, np.float32, np.float64):
        numbers = whole_numbers(np.array([0, 3, 40], dtype=kind))
        assert (numbers.tolist(), numbers.dtype) == ([0, 3, 40], np.int64)
    assert whole_numbers(np.array([-(2.0**53 - 1)])).tolist() == [-(2**53 - 1)]
    for value in (0.5, np.nan, np.inf, -1e300, 2.0**53):
        with pytest.raises(ValueError, match="expected whole numbers, found"):
            whole_numbers(np.array([1.0, value]))
