"""Rigid transforms in the plane and in space."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from perception.geometry import (
    SE2,
    SE3,
    quaternion_products,
    rotate_by,
    rotation_matrix,
    unit_quaternion,
    wrap_angle,
    yaw,
)

METRES = st.floats(-1e4, 1e4)
RADIANS = st.floats(-10, 10)
POSES = st.builds(SE2, METRES, METRES, RADIANS)


@given(POSES, METRES, METRES)
@settings(max_examples=50, deadline=None)
def test_a_pose_and_its_inverse_cancel(pose: SE2, x: float, y: float) -> None:
    point = np.array([[x, y]])
    np.testing.assert_allclose(pose.inverse().apply(pose.apply(point)), point, atol=1e-9)
    np.testing.assert_allclose((pose.inverse() @ pose).apply(point), point, atol=1e-9)


@given(POSES, POSES, METRES, METRES)
@settings(max_examples=50, deadline=None)
def test_composition_applies_one_pose_after_the_other(a_SE2_b: SE2, b_SE2_c: SE2, x: float, y: float) -> None:
    point = np.array([x, y])
    np.testing.assert_allclose((a_SE2_b @ b_SE2_c).apply(point), a_SE2_b.apply(b_SE2_c.apply(point)), atol=1e-8)


def test_a_quarter_turn_takes_x_to_y() -> None:
    pose = SE2(10.0, 20.0, np.pi / 2)
    np.testing.assert_allclose(pose.apply(np.array([1.0, 0.0])), [10.0, 21.0])
    np.testing.assert_allclose(pose.rotate(np.array([1.0, 0.0])), [0.0, 1.0], atol=1e-15)


@given(st.floats(-100, 100))
def test_wrapped_angles_point_the_same_way(angle: float) -> None:
    wrapped = wrap_angle(np.array([angle]))
    assert -np.pi <= wrapped[0] < np.pi
    np.testing.assert_allclose(np.exp(1j * wrapped), np.exp(1j * np.array([angle])), atol=1e-12)


SEEDS = st.integers(0, 2**32 - 1)


def random_pose(rng: np.random.Generator) -> SE3:
    return SE3(Rotation.random(rng=rng).as_matrix(), rng.normal(0, 10, 3))


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_spatial_poses_compose_and_invert(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a_SE3_b, b_SE3_c = random_pose(rng), random_pose(rng)
    points = rng.normal(0, 10, (4, 3))
    np.testing.assert_allclose((a_SE3_b @ b_SE3_c).apply(points), a_SE3_b.apply(b_SE3_c.apply(points)), atol=1e-9)
    np.testing.assert_allclose(a_SE3_b.inverse().apply(a_SE3_b.apply(points)), points, atol=1e-9)
    again = SE3.from_matrix(a_SE3_b.matrix)
    np.testing.assert_array_equal(again.apply(points), a_SE3_b.apply(points))


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_quaternions_are_those_of_scipy(seed: int) -> None:
    rotation = Rotation.random(rng=np.random.default_rng(seed))
    np.testing.assert_allclose(rotation_matrix(rotation.as_quat()), rotation.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(unit_quaternion(rotation.as_matrix()), rotation.as_quat(canonical=True), atol=1e-7)


@pytest.mark.parametrize("axis", np.eye(3))
def test_a_half_turn_has_a_quaternion(axis: np.ndarray) -> None:
    half_turn = Rotation.from_rotvec(np.pi * axis).as_matrix()
    np.testing.assert_allclose(rotation_matrix(unit_quaternion(half_turn)), half_turn, atol=1e-12)


@pytest.mark.parametrize("broken", [2 * np.eye(4), np.diag([-1.0, 1.0, 1.0, 1.0]), np.zeros((4, 4))])
def test_a_matrix_that_is_not_a_rigid_transform_is_refused(broken: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected a rigid transform"):
        SE3.from_matrix(broken)


def test_the_yaw_of_a_quaternion_is_its_heading_whatever_the_tilt() -> None:
    rotations = Rotation.from_euler("ZYX", [[0.3, 0.2, -0.1], [-2.9, 0.0, 0.4], [1.5, -1.2, 0.0]])
    np.testing.assert_allclose(yaw(rotations.as_quat()), [0.3, -2.9, 1.5])
    assert yaw(np.array([0.0, 0.0, 0.0, 1.0])) == 0


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_quaternions_turn_vectors_and_each_other_as_scipys_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turns, first = Rotation.random(4, rng=rng), Rotation.random(rng=rng)
    vectors = rng.normal(0, 10, (4, 3))
    np.testing.assert_allclose(rotate_by(turns.as_quat(), vectors), turns.apply(vectors), atol=1e-12)
    products = Rotation.from_quat(quaternion_products(first.as_quat(), turns.as_quat()))
    np.testing.assert_allclose(products.as_matrix(), (first * turns).as_matrix(), atol=1e-12)
