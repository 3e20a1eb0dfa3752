from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.geometry import wrap_angle
from perception_nodes.forecasting.path_headings import path_headings

WAY = np.array([[0.0, 0.01], [0.0, 1.0], [0.0, 2.0], [-1.0, 2.0], [-1.0, 2.02]])
"""It stands, goes north, turns west, and stands again."""


def headings_of(way: np.ndarray, facing: float, *, front: bool = True, axis: bool = True) -> np.ndarray:
    known = (np.array([front]), np.array([axis]))
    return path_headings(np.zeros((1, 2)), np.array([facing]), way[None], *known)[0]


def expect_same_directions(got: np.ndarray, expected: list[float]) -> None:
    np.testing.assert_allclose(wrap_angle(got - np.array(expected)), 0.0, atol=1e-12)


def test_poses_of_a_path_face_the_way_they_go_and_keep_it_while_they_stand() -> None:
    expect_same_directions(headings_of(WAY, 0.3), [0.3, np.pi / 2, np.pi / 2, np.pi, np.pi])


def test_an_object_whose_front_is_known_may_go_backwards() -> None:
    expect_same_directions(headings_of(WAY, -1.0), [-1.0, -np.pi / 2, -np.pi / 2, 0.0, 0.0])


def test_an_unknown_front_is_where_the_object_goes_first() -> None:
    forwards = [np.pi / 2, np.pi / 2, np.pi, np.pi]
    expect_same_directions(headings_of(WAY, -1.0, front=False), [np.pi - 1.0, *forwards])
    expect_same_directions(headings_of(WAY, 1.0, front=False), [1.0, *forwards])


@pytest.mark.parametrize("facing", [0.3, -1.0, np.nan])
def test_without_an_axis_the_first_move_is_the_heading_before_it_too(facing: float) -> None:
    expected = [np.pi / 2, np.pi / 2, np.pi / 2, np.pi, np.pi]
    expect_same_directions(headings_of(WAY, facing, front=False, axis=False), expected)


def test_a_heading_that_is_not_a_number_is_the_first_moves_and_zero_where_there_is_none() -> None:
    expect_same_directions(headings_of(WAY, np.nan), [np.pi / 2, np.pi / 2, np.pi / 2, np.pi, np.pi])
    expect_same_directions(headings_of(0 * WAY, np.nan), [0.0] * 5)


@pytest.mark.parametrize(("front", "axis"), [(True, True), (False, True), (False, False)])
def test_an_object_that_stands_keeps_its_heading(front: bool, axis: bool) -> None:
    expect_same_directions(headings_of(0 * WAY, 2.0, front=front, axis=axis), [2.0] * 5)


def test_there_may_be_no_paths_and_no_steps() -> None:
    known = np.ones(2, bool)
    assert path_headings(np.zeros((2, 2)), np.zeros(2), np.zeros((2, 0, 2)), known, known).shape == (2, 0)
    assert path_headings(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 5, 2)), known[:0], known[:0]).shape == (0, 5)


@given(seed=st.integers(0, 2**32 - 1))
def test_each_path_has_the_headings_that_it_has_alone_and_they_are_finite(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ways = np.cumsum(rng.normal(0, 0.1, (6, 7, 2)) * rng.integers(0, 2, (6, 7, 1)), axis=1)
    facing = np.where(rng.random(6) < 0.3, np.nan, rng.uniform(-4, 4, 6))
    axis = rng.random(6) < 0.7
    front = axis & (rng.random(6) < 0.7)
    together = path_headings(np.zeros((6, 2)), facing, ways, front, axis)
    assert np.isfinite(together).all()
    for row in range(6):
        alone = headings_of(ways[row], facing[row], front=bool(front[row]), axis=bool(axis[row]))
        np.testing.assert_array_equal(alone, together[row])
