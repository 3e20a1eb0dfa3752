from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perception.clouds.cropping import points_in_box
from perception.geometry import rotation_matrix


def test_a_box_holds_the_points_of_a_turned_box() -> None:
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    inside = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3)) * [4, 2, 1]
    outside = inside + np.array([4.1, 0, 0])
    points = np.concatenate([inside, outside]) @ turn.T + [5, 6, 7]
    found = points_in_box(points, np.array([5.0, 6, 7]), turn, np.array([4.0, 2, 1]))
    np.testing.assert_allclose(found, inside, atol=1e-12)


def test_points_on_the_sides_are_inside_and_what_is_no_number_is_not() -> None:
    points = np.array([[1, 2, 3], [1.001, 0, 0], [np.nan, 0, 0], [np.inf, 0, 0]], np.float32)
    found = points_in_box(points, np.zeros(3), np.eye(3), np.array([2.0, 4, 6]))
    assert found.tolist() == [[1, 2, 3]]


@given(seed=st.integers(0, 2**32 - 1))
def test_a_box_that_moves_with_the_cloud_holds_the_same_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, size = rng.normal(size=(50, 3)), rng.uniform(0.5, 2, 3)
    points = points[(np.abs(np.abs(points) - size / 2) > 1e-6).all(axis=1)]  # no rounding at the sides
    quaternion = rng.normal(size=4)
    turn, place = rotation_matrix(quaternion / np.linalg.norm(quaternion)), rng.normal(size=3)
    found = points_in_box(points @ turn.T + place, place, turn, size)
    np.testing.assert_allclose(found, points_in_box(points, np.zeros(3), np.eye(3), size), atol=1e-9)
