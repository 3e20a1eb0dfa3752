"""The LiDAR node's messages: a cloud and perhaps boxes in, `vision_msgs/Detection3DArray` out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from perception.errors import InputError
from perception_nodes.points.node import Box, Found, PointsNode
from perception_nodes.ros.classification import RankedClasses
from perception_nodes.ros.message_header import read_header
from perception_nodes.ros.messages import DETECTIONS, deserialize, header, make, serialize
from perception_nodes.ros.point_cloud import read_point_cloud


def answer_to_cloud(cdr: bytes, node: PointsNode) -> bytes:
    """Returns the CDR of the objects in a `sensor_msgs/PointCloud2`; its header goes out as it came.

    Raises:
        MalformedMessage: The message cannot be used.
        Exception: See `PointsNode.find`.
    """
    sensed, cloud = read_header(cdr), read_point_cloud(cdr)
    own = header(sensed.stamp_ns, sensed.frame_id)
    found = [_detection(own, one) for one in node.find(cloud.points)]
    return serialize(make(DETECTIONS, header=own, detections=found), DETECTIONS)


def answer_to_boxes(cdr: bytes, cloud_cdr: bytes, node: PointsNode) -> bytes:
    """Returns the CDR of given boxes as they came, each with hypotheses behind those that it has.

    Args:
        cdr: A `vision_msgs/Detection3DArray`. Its boxes are in the frame of its header; headers of single detections
            are not read.
        cloud_cdr: A `sensor_msgs/PointCloud2` of the same time, in the same frame.
        node: An active node.

    Raises:
        MalformedMessage: A message cannot be used.
        InputError: The frames differ.
        Exception: See `PointsNode.classify`.
    """
    message, cloud = deserialize(cdr, DETECTIONS), read_point_cloud(cloud_cdr)
    frame_id = str(message.header.frame_id)
    if frame_id != cloud.frame_id:
        raise InputError(
            f"boxes in the frame {frame_id!r} for a cloud in {cloud.frame_id!r}; expected one frame, so transform them"
        )
    boxes = [box_of(detection.bbox) for detection in message.detections]
    for detection, classes in zip(message.detections, node.classify(cloud.points, boxes), strict=True):
        if classes is not None:
            detection.results = [*detection.results, *_hypotheses(classes, detection.bbox.center)]
    return serialize(message, DETECTIONS)


def box_of(box: Any) -> Box:
    """Returns a `vision_msgs/BoundingBox3D`."""
    place, turn, size = box.center.position, box.center.orientation, box.size
    numbers = np.array([place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w, size.x, size.y, size.z], np.float64)
    return Box(numbers[:3], numbers[3:7], numbers[7:])


def _detection(own: Any, found: Found) -> Any:
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", **_axes(found.box.centre)),
        orientation=make("geometry_msgs/msg/Quaternion", **_axes(found.box.quaternion)),
    )
    box = make(
        "vision_msgs/msg/BoundingBox3D",
        center=pose,
        size=make("geometry_msgs/msg/Vector3", **_axes(found.box.size)),
    )
    results = _hypotheses(found.classes, pose)
    return make("vision_msgs/msg/Detection3D", header=own, results=results, bbox=box, id="")


def _axes(values: Iterable[float]) -> dict[str, float]:
    return {name: float(value) for name, value in zip("xyzw", values, strict=False)}


def _hypotheses(classes: RankedClasses, pose: Any) -> list[Any]:
    """Returns the classes as hypotheses at the pose of the box, whose covariance is not known (0)."""
    placed = make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
    return [
        make(
            "vision_msgs/msg/ObjectHypothesisWithPose",
            hypothesis=make("vision_msgs/msg/ObjectHypothesis", class_id=name, score=score),
            pose=placed,
        )
        for name, score in zip(classes.names, classes.scores, strict=True)
    ]
