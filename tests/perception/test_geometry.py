"""Planar frames."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.geometry import SE2, wrap_angle

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
def test_composition_is_one_after_the_other(a_SE2_b: SE2, b_SE2_c: SE2, x: float, y: float) -> None:
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
