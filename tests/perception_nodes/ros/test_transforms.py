from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from perception.geometry import SE3
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.poses import WITHIN_NS
from perception_nodes.ros.transforms import MAX_FRAMES, NoTransform, Transform, TransformBuffer, planar

STAMP = 10**18
NO_TURN = np.array([0.0, 0.0, 0.0, 1.0])
components = st.floats(-1, 1)
quaternions = st.tuples(components, components, components, components).filter(lambda q: np.linalg.norm(q) > 0.1)


def transform(x: float = 0.0, y: float = 0.0, yaw: float = 0.0, z: float = 0.0) -> Transform:
    return Transform.of(np.array([x, y, z]), np.array([0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)]))


@given(quaternions, quaternions, st.floats(0, 1))
def test_rotations_between_two_are_those_of_scipy(one: tuple, other: tuple, fraction: float) -> None:
    first, second = (Transform.of(np.zeros(3), np.array(q)) for q in (one, other))
    apart = (Rotation.from_quat(first.quaternion).inv() * Rotation.from_quat(second.quaternion)).magnitude()
    assume(apart < 3.1)  # at half a turn there are two shortest ways
    ours = first.toward(second, fraction).se3.rotation
    theirs = Slerp([0, 1], Rotation.from_quat([first.quaternion, second.quaternion]))(fraction).as_matrix()
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


@given(quaternions, st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 3), min_size=3, max_size=3))
def test_chains_of_frames_are_products_of_their_matrices(turn: tuple, places: list) -> None:
    buffer, expected = TransformBuffer(), np.eye(4)
    for number, place in enumerate(places):
        one = Transform.of(np.array(place), np.array(turn))
        buffer.put_static(f"frame{number}", f"frame{number + 1}", one)
        expected = expected @ one.se3.matrix
    np.testing.assert_allclose(buffer.lookup("frame0", "frame3", STAMP).matrix, expected, atol=1e-6)
    np.testing.assert_allclose(buffer.lookup("frame3", "frame0", STAMP).matrix, np.linalg.inv(expected), atol=1e-5)


def test_frames_on_two_branches_meet_at_their_common_parent() -> None:
    buffer = TransformBuffer()
    buffer.put("map", "base_link", STAMP, transform(10.0, 0.0, np.pi / 2))
    buffer.put_static("base_link", "lidar", transform(1.0, 0.0))
    buffer.put_static("base_link", "camera", transform(0.0, 2.0))
    np.testing.assert_allclose(buffer.lookup("map", "lidar", STAMP).translation_m, [10, 1, 0], atol=1e-12)
    np.testing.assert_allclose(buffer.lookup("camera", "lidar", STAMP).translation_m, [1, -2, 0], atol=1e-12)
    pose = planar(buffer.lookup("map", "lidar", STAMP))
    assert (pose.x_m, pose.y_m, pose.heading_rad) == pytest.approx((10, 1, np.pi / 2))


def test_a_pose_at_20_m_s_is_right_between_two_poses_and_a_little_beyond_the_last() -> None:
    buffer = TransformBuffer()
    for step in range(5):
        buffer.put("map", "base_link", STAMP + step * 10**8, transform(2.0 * step, 0.0, 0.1 * step))
    for after_ns in (0, 45_000_000, 130_000_000, 400_000_000, 480_000_000):
        pose = buffer.lookup_planar("map", "base_link", STAMP + after_ns, wait_s=0)
        assert pose.x_m == pytest.approx(20 * after_ns / 1e9, abs=1e-6)
        assert pose.heading_rad == pytest.approx(after_ns / 1e9, abs=1e-6)
    with pytest.raises(
        NoTransform, match=r"no pose of 'base_link' in 'map' within 0.1 s .*newest pose is 0.11 s older"
    ):
        buffer.lookup("map", "base_link", STAMP + 510_000_000, wait_s=0)
    with pytest.raises(NoTransform, match=r"oldest pose is 0.20 s newer"):
        buffer.lookup("map", "base_link", STAMP - 200_000_000, wait_s=0)


def test_the_heading_goes_the_short_way_across_half_a_turn() -> None:
    buffer = TransformBuffer()
    buffer.put("map", "base_link", STAMP, transform(yaw=np.pi - 0.1))
    buffer.put("map", "base_link", STAMP + 10**8, transform(yaw=-np.pi + 0.1))
    heading = buffer.lookup_planar("map", "base_link", STAMP + 5 * 10**7).heading_rad
    assert abs(heading) == pytest.approx(np.pi)


def test_an_odometry_at_400_hz_knows_the_pose_of_a_tracker_that_is_late() -> None:
    buffer = TransformBuffer()
    for step in range(1200):
        buffer.put("map", "base_link", STAMP + step * 2_500_000, transform(0.05 * step))
    assert buffer.lookup_planar("map", "base_link", STAMP + 1_500_000_000).x_m == pytest.approx(30.0)


def test_inside_a_long_gap_there_is_no_pose_but_at_its_ends() -> None:
    buffer = TransformBuffer()
    buffer.put("map", "base_link", STAMP, transform())
    buffer.put("map", "base_link", STAMP + 10**9, transform(1.0))
    assert buffer.lookup_planar("map", "base_link", STAMP + WITHIN_NS).x_m == pytest.approx(0.1)
    with pytest.raises(NoTransform, match=r"in a gap of 1.00 s"):
        buffer.lookup("map", "base_link", STAMP + 5 * 10**8)


def test_a_pose_of_a_message_is_not_changed_by_a_bit() -> None:
    buffer, place = TransformBuffer(), np.array([1e6 / 3, -2e6 / 7, 0.1])
    quaternion = np.array([0.0, 0.0, np.sin(0.3), np.cos(0.3)])
    buffer.put("map", "base_link", STAMP, Transform.of(place, quaternion))
    buffer.put("map", "base_link", STAMP + 1000, transform())
    pose = buffer.lookup_planar("map", "base_link", STAMP)
    assert (pose.x_m, pose.y_m) == (place[0], place[1])
    np.testing.assert_array_equal(buffer.lookup("map", "base_link", STAMP).translation_m, place)


def test_a_pose_that_is_on_its_way_is_waited_for() -> None:
    buffer = TransformBuffer()
    buffer.put("map", "base_link", STAMP, transform())
    late = threading.Timer(0.02, buffer.put, ("map", "base_link", STAMP + 300_000_000, transform(3.0)))
    late.start()
    x_m = buffer.lookup_planar("map", "base_link", STAMP + 300_000_000, wait_s=10.0).x_m
    late.join()
    assert x_m == 3.0


def test_the_odometry_is_believed_before_tf() -> None:
    buffer = TransformBuffer()
    buffer.put("map", "base_link", STAMP, transform(5.0))
    buffer.put("map", "base_link", STAMP, transform(1.0), preferred=True)
    buffer.put("map", "base_link", STAMP, transform(7.0))
    buffer.put_static("elsewhere", "base_link", transform(8.0))
    assert buffer.lookup_planar("map", "base_link", STAMP).x_m == 1.0


def test_frames_that_are_not_connected_are_named() -> None:
    buffer = TransformBuffer()
    buffer.put_static("base_link", "lidar", transform())
    with pytest.raises(NoTransform, match="no transform from 'lidar' to 'map': the first ends at 'base_link', "):
        buffer.lookup("map", "lidar", STAMP)
    np.testing.assert_array_equal(buffer.lookup("anything", "anything", STAMP).matrix, np.eye(4))


def test_a_ring_of_frames_ends() -> None:
    buffer = TransformBuffer()
    buffer.put_static("a", "b", transform())
    buffer.put_static("b", "a", transform())
    with pytest.raises(NoTransform):
        buffer.lookup("map", "a", STAMP)


@pytest.mark.parametrize(
    ("place", "turn"),
    [((np.nan, 0, 0), NO_TURN), ((0, 1e9, 0), NO_TURN), ((0, 0, 0), np.zeros(4)), ((0, 0, 0), np.full(4, np.inf))],
)
def test_numbers_of_no_pose_are_refused(place: tuple, turn: np.ndarray) -> None:
    with pytest.raises(MalformedMessage, match="expected a finite position"):
        Transform.of(np.array(place, dtype=float), turn)


def test_frames_are_bounded_in_number_and_need_two_names() -> None:
    buffer = TransformBuffer()
    for number in range(MAX_FRAMES):
        buffer.put_static("map", f"frame{number}", transform())
    with pytest.raises(MalformedMessage, match=f"at most {MAX_FRAMES} frames, got 'another' beyond"):
        buffer.put("map", "another", STAMP, transform())
    buffer.put_static("map", "frame0", transform(2.0))
    assert buffer.lookup("map", "frame0", STAMP).translation_m[0] == 2.0
    for parent, child in (("", "a"), ("a", ""), ("a", "a")):
        with pytest.raises(MalformedMessage, match="expected two frames"):
            buffer.put_static(parent, child, transform())


def test_poses_are_rigid() -> None:
    pose = transform(1.0, 2.0, 0.3).toward(transform(3.0, 1.0, 2.0), 1.3).se3
    SE3.from_matrix(pose.matrix)
