from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perception.geometry import SE2
from perception_nodes.forecasting.messages import odometry_of
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import ODOMETRY, deserialize, header, make, serialize
from perception_nodes.ros.odometry import ego_pose_of, transform_of


def test_the_egos_pose_is_the_same_after_a_message(make_tick: Callable[..., Tick]) -> None:
    tick = replace(make_tick(2), city_SE2_ego=SE2(1234.5, -6.25, -3.0))
    odometry = deserialize(serialize(odometry_of(tick), ODOMETRY), ODOMETRY)
    pose = ego_pose_of(odometry)
    assert (pose.x_m, pose.y_m) == (1234.5, -6.25)
    assert pose.heading_rad == pytest.approx(-3.0, abs=1e-15)
    assert odometry.header.stamp.sec * 10**9 + odometry.header.stamp.nanosec == tick.stamp_ns


def test_a_pose_takes_points_of_the_sensor_to_the_map() -> None:
    pose = transform_of(_odometry((1.0, 2.0, 3.0), (0.0, 0.0, 2.0, 2.0))).se3  # a quarter turn, not quite of length 1
    np.testing.assert_allclose(pose.apply(np.array([[1.0, 0.0, 0.0]])), [[1.0, 3.0, 3.0]], atol=1e-12)


@pytest.mark.parametrize("quaternion", [(0.0, 0.0, 0.0, 0.0), (np.nan, 0.0, 0.0, 1.0), (np.inf, 0.0, 0.0, 1.0)])
def test_a_pose_without_an_orientation_is_refused(quaternion: tuple[float, ...]) -> None:
    with pytest.raises(MalformedMessage, match="expected a finite position"):
        transform_of(_odometry((0.0, 0.0, 0.0), quaternion))


def _odometry(at: tuple[float, ...], quaternion: tuple[float, ...]) -> Any:
    zero = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", **dict(zip("xyz", at, strict=True))),
        orientation=make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", quaternion, strict=True))),
    )
    twist = make("geometry_msgs/msg/Twist", linear=zero, angular=zero)
    return make(
        "nav_msgs/msg/Odometry",
        header=header(0, "map"),
        child_frame_id="lidar",
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
        twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )
