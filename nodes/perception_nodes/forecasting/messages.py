"""The forecasting node's messages: tracked objects in, in either of two types, and predicted objects out.

Autoware's trackers send UUIDs and velocities, others only boxes with ids (`perception_nodes.forecasting.detections`).
The node needs no more than the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np
from jaxtyping import Float, UInt8

from perception.geometry import SE2
from perception.traffic.scenario import STEP_S, AgentKind
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.detections import detections_of
from perception_nodes.forecasting.tick import Tick, TrackedMotion
from perception_nodes.ros.cdr import read_tracked_objects
from perception_nodes.ros.messages import (
    DETECTIONS,
    FORECAST_STATUS,
    ODOMETRY,
    TRACKED_OBJECTS,
    deserialize,
    header,
    make,
)
from perception_nodes.ros.objects import Label, OrientationAvailability, PredictedObjects, TrackedObjects

KIND_OF_LABEL = {
    Label.CAR: AgentKind.VEHICLE,
    Label.TRUCK: AgentKind.VEHICLE,
    Label.TRAILER: AgentKind.VEHICLE,
    Label.BUS: AgentKind.BUS,
    Label.MOTORCYCLE: AgentKind.MOTORCYCLIST,
    Label.BICYCLE: AgentKind.CYCLIST,
    Label.PEDESTRIAN: AgentKind.PEDESTRIAN,
    Label.HAZARD: AgentKind.STATIC,
}
"""Argoverse 2 has no kind for the other labels: their objects are UNKNOWN."""
LABEL_OF_KIND = {
    AgentKind.VEHICLE: Label.CAR,
    AgentKind.BUS: Label.BUS,
    AgentKind.MOTORCYCLIST: Label.MOTORCYCLE,
    AgentKind.CYCLIST: Label.BICYCLE,
    AgentKind.PEDESTRIAN: Label.PEDESTRIAN,
    AgentKind.STATIC: Label.HAZARD,
    AgentKind.CONSTRUCTION: Label.HAZARD,
}
"""Every road user keeps its kind there and back. Autoware has no label for the other kinds: they are UNKNOWN."""

_KINDS = np.array([KIND_OF_LABEL.get(label, AgentKind.UNKNOWN) for label in Label], dtype=np.int64)
_LABELS = np.array([LABEL_OF_KIND.get(kind, Label.UNKNOWN) for kind in AgentKind], dtype=np.int64)
_UNKNOWN_POSE = SE2(float("nan"), float("nan"), float("nan"))
_LONGEST_REASON = 500
"""Characters of a reason that are sent."""
_LEAST_MOVE_M = 0.05
"""A pose of a path that is nearer to the one before keeps its heading, since the direction would be noise."""


def tick_of(objects: TrackedObjects, city_SE2_ego: SE2) -> Tick:
    """Returns tracked objects of the map frame as a tick.

    An object whose front the tracker does not know faces the way it moves.
    """
    backwards = objects.twists[:, 0] < 0
    unsure = objects.orientation_availability != OrientationAvailability.AVAILABLE
    labels = np.where(objects.labels < len(Label), objects.labels, Label.UNKNOWN)
    return Tick(
        stamp_ns=objects.stamp_ns,
        city_SE2_ego=city_SE2_ego,
        ids=tuple(str(UUID(bytes=bytes(row))) for row in objects.ids),
        kinds=_KINDS[labels],
        position=objects.poses[:, :2],
        heading=objects.headings + np.pi * (backwards & unsure),
        size=objects.dimensions,
        motion=TrackedMotion(
            velocity=objects.velocities,
            turn_rate=objects.twists[:, 5],
            front_known=~unsure,
            stationary=objects.is_stationary,
        ),
        sent=objects,
    )


def tracked_objects_of(
    tick: Tick, velocity: Float[np.ndarray, "objects 2"], *, frame_id: str = "map"
) -> TrackedObjects:
    """Returns a tick as a tracker would send it, at height 0."""
    return TrackedObjects.planar(
        tick.stamp_ns,
        frame_id,
        _uuids(tick.ids),
        tick.position,
        tick.heading,
        velocity,
        _LABELS[tick.kinds],
        tick.size,
    )


def predicted_objects_of(result: ForecastResult, *, frame_id: str = "map") -> PredictedObjects:
    """Returns a result as Autoware's planners read it; poses of a path face the direction of travel.

    Objects that came in a message go out with all that their sender said of them.
    """
    objects = result.objects.sent or tracked_objects_of(result.objects, result.velocity, frame_id=frame_id)
    headings = path_headings(result.objects.position, result.objects.heading, result.trajectories)
    return objects.predict(result.trajectories, headings, result.probabilities, STEP_S, result.mode_counts)


def status_of(result: ForecastResult, *, frame_id: str = "map", node: str = "") -> Any:
    """Returns the `forecast_msgs/ForecastStatus` of a result: its latency and age, and whether to act on it.

    A stamp that ROS cannot write (before 1970, after 2038) becomes 0; such a result is not valid.
    """
    return make(
        FORECAST_STATUS,
        header=header(result.stamp_ns if 0 <= result.stamp_ns < 2**31 * 10**9 else 0, frame_id),
        latency_ms=result.latency_ms,
        age_ms=result.age_ms,
        dropped_since_last=result.dropped_since_last,
        model_id=result.model_id,
        valid=result.valid,
        node=node,
        source=result.source,
        reason=result.reason[:_LONGEST_REASON],
        objects_left_out=result.left_out,
        object_sources=result.sources.astype(np.uint8),
        object_reasons=result.reasons.astype(np.uint8),
    )


def odometry_of(tick: Tick, *, frame_id: str = "map", child_frame_id: str = "base_link") -> Any:
    """Returns the `nav_msgs/Odometry` that a localisation sends with a tick; velocities and covariances are 0."""
    pose, heading = tick.city_SE2_ego, tick.city_SE2_ego.heading_rad
    at_rest = [make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0) for _ in range(2)]
    placed = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=pose.x_m, y=pose.y_m, z=0.0),
        orientation=make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=np.sin(heading / 2), w=np.cos(heading / 2)),
    )
    twist = make("geometry_msgs/msg/Twist", linear=at_rest[0], angular=at_rest[1])
    return make(
        ODOMETRY,
        header=header(tick.stamp_ns, frame_id),
        child_frame_id=child_frame_id,
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=placed, covariance=np.zeros(36)),
        twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )


def path_headings(
    position: Float[np.ndarray, "objects 2"],
    heading: Float[np.ndarray, " objects"],
    trajectories: Float[np.ndarray, "objects modes steps 2"],
) -> Float[np.ndarray, "objects modes steps"]:
    """Returns the direction of travel along each future.

    Where an object stands, the last direction is kept; before the first move, the present heading.
    """
    starts = np.broadcast_to(position[:, None, None], (*trajectories.shape[:2], 1, 2))
    moves = np.diff(np.concatenate([starts, trajectories], axis=2), axis=2)
    x, y = moves[..., 0], moves[..., 1]
    far = x * x + y * y >= _LEAST_MOVE_M**2
    directions = np.arctan2(y, x)
    last_far = np.maximum.accumulate(np.where(far, np.arange(far.shape[-1]), -1), axis=-1)
    held = np.take_along_axis(directions, np.maximum(last_far, 0), axis=-1)
    return np.where(last_far >= 0, held, heading[:, None, None])


def _uuids(ids: tuple[str, ...]) -> UInt8[np.ndarray, "objects 16"]:
    """Returns track ids that are UUIDs as they are, and for each other id a UUID that is the same every time."""
    return np.array([list(_uuid(name).bytes) for name in ids], dtype=np.uint8).reshape(-1, 16)


def _uuid(name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        return uuid5(NAMESPACE_OID, name)


@dataclass(frozen=True)
class SensedObjects:
    """The objects in a message, before the ego's pose is known.

    Attributes:
        unposed: The objects, with an ego pose of NaN.
        frame_id: Name of the frame of their coordinates.
        complaint: What of the message could not be used; empty if all could.
    """

    unposed: Tick
    frame_id: str
    complaint: str = ""

    @property
    def stamp_ns(self) -> int:
        """When the objects were sensed."""
        return self.unposed.stamp_ns

    def at(self, city_SE2_ego: SE2) -> Tick:
        """Returns the tick, given the ego's pose at its time."""
        return replace(self.unposed, city_SE2_ego=city_SE2_ego)


def _read_tracked_objects(cdr: bytes) -> SensedObjects:
    objects = read_tracked_objects(cdr)
    return SensedObjects(tick_of(objects, _UNKNOWN_POSE), objects.frame_id)


def _read_detections(cdr: bytes) -> SensedObjects:
    message = deserialize(cdr, DETECTIONS)
    detections = detections_of(message, _UNKNOWN_POSE)
    return SensedObjects(detections.tick, message.header.frame_id, detections.complaint)


READERS: Mapping[str, Callable[[bytes], SensedObjects]] = {
    TRACKED_OBJECTS: _read_tracked_objects,
    DETECTIONS: _read_detections,
}
"""The reader of each type of message; it raises `MalformedMessage`."""
