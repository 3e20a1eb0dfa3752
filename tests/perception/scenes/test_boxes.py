import numpy as np
import pytest

from perception.scenes.boxes import instance_boxes


def test_each_box_just_holds_the_points_of_its_instance() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 3, (200, 3)).astype(np.float32)
    instance = rng.integers(0, 9, 200)
    ids = np.array([7, 2, 5])
    for box, i in zip(instance_boxes(points, instance, ids), ids, strict=True):
        own = points[instance == i]
        np.testing.assert_array_equal(box[:3], (own.min(axis=0) + own.max(axis=0)) / 2)
        np.testing.assert_array_equal(box[3:], own.max(axis=0) - own.min(axis=0))


def test_no_instances_have_no_boxes() -> None:
    none = np.zeros(0, np.int64)
    assert instance_boxes(np.zeros((0, 3), np.float32), none, none).shape == (0, 6)


def test_an_instance_without_points_is_named() -> None:
    with pytest.raises(ValueError, match=r"found none of \[4\]"):
        instance_boxes(np.zeros((2, 3), np.float32), np.array([1, 2]), np.array([2, 4]))
