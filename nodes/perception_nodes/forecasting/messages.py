"""The forecasting node's messages: tracked objects in, in either of two types, and predicted objects out.

Autoware's trackers send UUIDs and velocities, others only boxes with ids (`perception_nodes.forecasting.detections`).
The node needs no more than the latter. What the sender said of an object goes out as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from perception.geometry import SE2, SE3
from perception.traffic.scenario import STEP_S, AgentKind
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.detections import detections_of
from perception_nodes.forecasting.ids import texts_of, uuids_of
from perception_nodes.forecasting.labels import KIND_OF_LABEL, LABEL_OF_KIND
from perception_nodes.forecasting.path_headings import path_headings
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

_KINDS = np.array([KIND_OF_LABEL.get(label, AgentKind.UNKNOWN) for label in Label], dtype=np.int64)
_LABELS = np.array([LABEL_OF_KIND.get(kind, Label.UNKNOWN) for kind in AgentKind], dtype=np.int64)
_UNKNOWN_POSE = SE2(float("nan"), float("nan"), float("nan"))
_LONGEST_REASON = 500
"""Characters of a reason that are sent."""


def tick_of(objects: TrackedObjects, city_SE2_ego: SE2) -> Tick:
    """Returns tracked objects of the map frame as a tick, with their headings as they were sent."""
    front_known = objects.orientation_availability == OrientationAvailability.AVAILABLE
    axis_known = front_known | (objects.orientation_availability == OrientationAvailability.SIGN_UNKNOWN)
    headings = objects.headings
    labels = np.where(objects.labels < len(Label), objects.labels, Label.UNKNOWN)
    return Tick(
        stamp_ns=objects.stamp_ns,
        city_SE2_ego=city_SE2_ego,
        ids=texts_of(objects.ids),
        kinds=_KINDS[labels],
        position=objects.poses[:, :2],
        heading=np.where(axis_known | np.isfinite(headings), headings, 0.0),  # a meaningless one breaks nothing
        size=objects.dimensions,
        motion=TrackedMotion(
            velocity=objects.velocities,
            turn_rate=objects.turn_rates,
            front_known=front_known,
            stationary=objects.is_stationary,
            axis_known=axis_known,
        ),
        sent=objects,
    )


def tracked_objects_of(
    tick: Tick, velocity: Float[np.ndarray, "objects 2"], *, frame_id: str = "map"
) -> TrackedObjects:
    """Returns a tick that came in no message, as of a log, as a tracker would send it: at height 0."""
    return TrackedObjects.planar(
        tick.stamp_ns,
        frame_id,
        uuids_of(tick.ids),
        tick.position,
        tick.heading,
        velocity,
        _LABELS[tick.kinds],
        tick.size,
    )


def predicted_objects_of(result: ForecastResult, *, frame_id: str = "map") -> PredictedObjects:
    """Returns a result as Autoware's planners read it; poses of a path face the direction of travel.

    Objects that came in a message go out with all that their sender said of them. Velocities that it did not say are
    the node's.

    Args:
        result: The answer to a tick.
        frame_id: Name of the frame where the objects came in no message.
    """
    tick, counts = result.objects, result.mode_counts
    if tick.sent is None:
        objects = tracked_objects_of(tick, result.velocity, frame_id=frame_id)
    else:
        objects = tick.sent if tick.motion is not None else tick.sent.moving(result.velocity)
    sent = np.arange(result.probabilities.shape[1]) < counts[:, None]
    owner, trajectories = np.repeat(np.arange(len(tick)), counts), result.trajectories[sent]
    front_known = axis_known = np.ones(len(tick), bool)
    if tick.motion is not None:
        front_known = tick.motion.front_known
        axis_known = axis_known if tick.motion.axis_known is None else tick.motion.axis_known
    headings = path_headings(
        tick.position[owner], tick.heading[owner], trajectories, front_known[owner], axis_known[owner]
    )
    return objects.predict(counts, trajectories, headings, result.probabilities[sent], STEP_S)


def status_of(result: ForecastResult, *, frame_id: str = "map", node: str = "") -> Any:
    """Returns the `forecast_msgs/ForecastStatus` of a result: its latency and age, and whether to act on it.

    A stamp that ROS cannot write (before 1970, after 2038) becomes 0; such a result is not valid.

    Args:
        result: The answer to a tick.
        frame_id: Name of the frame where the objects came in no message.
        node: Name of the node that answers.
    """
    stamp_ns = result.stamp_ns if 0 <= result.stamp_ns < 2**31 * 10**9 else 0
    return make(
        FORECAST_STATUS,
        header=header(stamp_ns, frame_id if result.objects.sent is None else result.objects.sent.frame_id),
        latency_ms=result.latency_ms,
        age_ms=result.age_ms,
        dropped_since_last=result.dropped_since_last,
        model_id=result.model_id,
        valid=result.valid,
        node=node,
        source=result.source,
        reason=result.reason[:_LONGEST_REASON],
        objects_forecast=len(result.objects),
        objects_by_model=len(result.by_model),
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

    def transformed(self, target_frame_id: str, target_SE3_source: SE3) -> SensedObjects:
        """Returns the objects in another frame; see `TrackedObjects.transformed`."""
        tick = self.unposed
        assert tick.sent is not None, "sensed objects come in messages"
        there = tick_of(tick.sent.transformed(target_frame_id, target_SE3_source), tick.city_SE2_ego)
        return replace(
            self,
            unposed=replace(there, ids=tick.ids, kinds=tick.kinds, motion=tick.motion and there.motion),
            frame_id=target_frame_id,
        )


def _read_tracked_objects(cdr: bytes) -> SensedObjects:
    objects = read_tracked_objects(cdr)
    return SensedObjects(tick_of(objects, _UNKNOWN_POSE), objects.frame_id)


def _read_detections(cdr: bytes) -> SensedObjects:
    found = detections_of(deserialize(cdr, DETECTIONS))
    tick = replace(tick_of(found.objects, _UNKNOWN_POSE), ids=found.ids, kinds=found.kinds, motion=None)
    return SensedObjects(tick, found.objects.frame_id, found.complaint)


READERS: Mapping[str, Callable[[bytes], SensedObjects]] = {
    TRACKED_OBJECTS: _read_tracked_objects,
    DETECTIONS: _read_detections,
}
"""The reader of each type of message; it raises `MalformedMessage`."""
