"""Converts topics to Foxglove's own 3-D messages, which its app draws without an extension for Autoware's.

https://docs.foxglove.dev/docs/visualization/message-schemas/scene-update
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from foxglove.messages import (
    Color,
    CubePrimitive,
    Duration,
    FrameTransform,
    LinePrimitive,
    LinePrimitiveLineType,
    Point3,
    Pose,
    Quaternion,
    SceneEntity,
    SceneUpdate,
    Timestamp,
    Vector3,
)
from jaxtyping import Float

from perception.traffic.scenario import AgentKind, PolylineKind
from perception_nodes.forecasting.messages import READERS
from perception_nodes.ros.cdr import read_predicted_objects
from perception_nodes.ros.map_message import map_of
from perception_nodes.ros.messages import (
    DETECTIONS,
    ODOMETRY,
    POLYLINE_MAP,
    PREDICTED_OBJECTS,
    TRACKED_OBJECTS,
    deserialize,
    stamp_ns_of,
)

LEAST_CONFIDENCE = 0.1
"""Lowest confidence of a path that is drawn."""
SHOWN_STEPS = 5
"""Number of poses between two points of a drawn path, which begins at the present pose: 0.5 s."""
LIFETIME = Duration(1)
"""Seconds until a drawing disappears unless it is sent again; a map stays."""

GREY, BLUE, ORANGE, GREEN, RED = (
    (0.45, 0.45, 0.5), (0.27, 0.51, 0.71), (0.9, 0.55, 0.1), (0.2, 0.6, 0.35), (0.84, 0.19, 0.23))  # fmt: skip
COLOUR_OF_KIND = {
    AgentKind.VEHICLE: BLUE,
    AgentKind.BUS: BLUE,
    AgentKind.PEDESTRIAN: ORANGE,
    AgentKind.CYCLIST: GREEN,
    AgentKind.MOTORCYCLIST: GREEN,
}
"""Colours of moving objects; the others are grey."""


def scene_of_map(cdr: bytes) -> SceneUpdate:
    """Returns lanes and crosswalks as lines, which replace the last map."""
    lanes, _ = map_of(deserialize(cdr, POLYLINE_MAP))
    polylines = lanes.polylines
    drawn = [
        _line(points, GREY, 0.25 if kind == PolylineKind.CROSSWALK else 0.6, 0.15)
        for points, kind in zip(polylines.points, polylines.kinds, strict=True)
    ]
    return SceneUpdate(entities=[SceneEntity(timestamp=Timestamp(0), frame_id="map", id="map", lines=drawn)])


def scene_of_objects(cdr: bytes, kind: str) -> SceneUpdate:
    """Returns objects that have a place as boxes, coloured by kind; a heading that is not usable is drawn as 0."""
    sensed = READERS[kind](cdr)
    tick = sensed.unposed.take(np.flatnonzero(sensed.unposed.is_placed))
    cubes = [
        CubePrimitive(
            pose=_pose(x, y, float(height) / 2, heading),
            size=Vector3(x=float(length), y=float(width), z=float(height)),
            color=_color(COLOUR_OF_KIND.get(AgentKind(of), GREY), 0.8),
        )
        for (x, y), heading, (length, width, height), of in zip(
            tick.position.tolist(), np.nan_to_num(tick.heading).tolist(), tick.size, tick.kinds.tolist(), strict=True
        )
    ]
    return _update("objects", sensed.frame_id, tick.stamp_ns, cubes=cubes)


def scene_of_forecasts(cdr: bytes) -> SceneUpdate:
    """Returns futures as lines, fainter the less probable they are."""
    objects = read_predicted_objects(cdr)
    ends = np.cumsum(objects.pose_counts)
    shown = np.flatnonzero(objects.path_confidences >= LEAST_CONFIDENCE)
    lines = [
        _line(objects.path_poses[end - count : end : SHOWN_STEPS, :2], RED, float(confidence), 0.3)
        for end, count, confidence in zip(
            ends[shown], objects.pose_counts[shown], objects.path_confidences[shown], strict=True
        )
    ]
    return _update("forecasts", objects.frame_id, objects.stamp_ns, lines=lines)


def transform_of(cdr: bytes) -> FrameTransform:
    """Returns the ego's pose, for a camera that follows it."""
    odometry = deserialize(cdr, ODOMETRY)
    at, q = odometry.pose.pose.position, odometry.pose.pose.orientation
    return FrameTransform(
        timestamp=_timestamp(stamp_ns_of(odometry.header)),
        parent_frame_id=odometry.header.frame_id,
        child_frame_id=odometry.child_frame_id,
        translation=Vector3(x=at.x, y=at.y, z=at.z),
        rotation=Quaternion(x=q.x, y=q.y, z=q.z, w=q.w),
    )


DRAWINGS: Mapping[str, tuple[str, type, Callable[[bytes], SceneUpdate | FrameTransform]]] = {
    POLYLINE_MAP: ("/scene/map", SceneUpdate, scene_of_map),
    TRACKED_OBJECTS: ("/scene/objects", SceneUpdate, lambda cdr: scene_of_objects(cdr, TRACKED_OBJECTS)),
    DETECTIONS: ("/scene/objects", SceneUpdate, lambda cdr: scene_of_objects(cdr, DETECTIONS)),
    PREDICTED_OBJECTS: ("/scene/forecasts", SceneUpdate, scene_of_forecasts),
    ODOMETRY: ("/tf", FrameTransform, transform_of),
}
"""Type of a message → topic, type and function of its drawing; the function raises `MalformedMessage`."""


def _update(
    name: str,
    frame_id: str,
    stamp_ns: int,
    cubes: Iterable[CubePrimitive] = (),
    lines: Iterable[LinePrimitive] = (),
) -> SceneUpdate:
    entity = SceneEntity(
        timestamp=_timestamp(stamp_ns),
        frame_id=frame_id,
        id=name,
        lifetime=LIFETIME,
        cubes=list(cubes),
        lines=list(lines),
    )
    return SceneUpdate(entities=[entity])


def _line(
    points: Float[np.ndarray, "points 2"], colour: tuple[float, float, float], opacity: float, width_m: float
) -> LinePrimitive:
    return LinePrimitive(
        type=LinePrimitiveLineType.LineStrip,
        thickness=width_m,
        points=[Point3(x=x, y=y, z=0.0) for x, y in points.tolist()],
        color=_color(colour, opacity),
    )


def _pose(x: float, y: float, z: float, heading: float) -> Pose:
    turn = Quaternion(x=0.0, y=0.0, z=float(np.sin(heading / 2)), w=float(np.cos(heading / 2)))
    return Pose(position=Vector3(x=x, y=y, z=z), orientation=turn)


def _color(rgb: tuple[float, float, float], opacity: float) -> Color:
    return Color(r=rgb[0], g=rgb[1], b=rgb[2], a=min(1.0, opacity))


def _timestamp(stamp_ns: int) -> Timestamp:
    return Timestamp(*divmod(stamp_ns, 10**9))
