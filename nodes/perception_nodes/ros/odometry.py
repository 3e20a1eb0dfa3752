"""Poses in `nav_msgs/Odometry`, planar and spatial."""

from __future__ import annotations

from typing import Any

import numpy as np

from perception.geometry import SE2, yaw
from perception_nodes.ros.transforms import Transform

ODOMETRY_TOPIC = "/localization/kinematic_state"
"""Topic of Autoware's localisation."""


def ego_pose_of(odometry: Any) -> SE2:
    """Returns the planar pose of an odometry's child frame (`base_link`) in its frame (`map`)."""
    at, q = odometry.pose.pose.position, odometry.pose.pose.orientation
    return SE2(at.x, at.y, float(yaw(np.array([q.x, q.y, q.z, q.w]))))


def transform_of(odometry: Any) -> Transform:
    """Returns the transform from an odometry's child frame to its frame.

    Raises:
        MalformedMessage: Its numbers are none of a pose.
    """
    at, q = odometry.pose.pose.position, odometry.pose.pose.orientation
    return Transform.of(np.array([at.x, at.y, at.z]), np.array([q.x, q.y, q.z, q.w]))
