"""From `vision_msgs/Detection3DArray` to the forecasting node's frames, for trackers that do not speak Autoware.

What it needs of the sender:

* `id`: the track's, the same in every message as long as the track lives. A detection without one is left out, since
  without it there is no track; a mere detector wants a tracker behind it. Forecasts name an object by a UUID: the id
  itself where it is one, otherwise one made of it, the same every time (`perception_nodes.forecasting.messages`).
* Velocity: nothing. The message has none; as for Autoware's objects, the node takes it from the positions of the last
  two steps of its own 10 Hz history. An object seen for the first time has velocity 0.
* `bbox`: in the frame of the ego pose (`map`); the header's frame says so, and those of single detections are not read.
* `class_id`: words of no fixed vocabulary; `KIND_OF_CLASS` says which are understood.

The message is read by `rosbags`: 2.5 ms for 100 detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from perception.geometry import SE2, yaw
from perception.traffic.scenario import AgentKind
from perception_nodes.forecasting.frames import TrackedFrame
from perception_nodes.ros.messages import stamp_ns_of

_VEHICLES = ("vehicle", "regular_vehicle", "large_vehicle", "car", "truck", "van", "trailer", "construction_vehicle")
KIND_OF_CLASS = {
    **{name: AgentKind.VEHICLE for name in _VEHICLES},
    **{name: AgentKind.BUS for name in ("bus", "school_bus", "articulated_bus")},
    **{name: AgentKind.PEDESTRIAN for name in ("pedestrian", "person")},
    **{name: AgentKind.MOTORCYCLIST for name in ("motorcyclist", "motorcycle", "motorbike")},
    **{name: AgentKind.CYCLIST for name in ("cyclist", "bicyclist", "bicycle", "bike")},
    **{name: AgentKind.CONSTRUCTION for name in ("construction", "construction_cone", "traffic_cone", "cone")},
    **{name: AgentKind.STATIC for name in ("static", "hazard", "barrier")},
}
"""The words of Argoverse 2, Autoware, COCO, KITTI and nuScenes' detections, in lower case with underscores. All others
are UNKNOWN, whom nobody forecasts; bicycles and motorcycles count as ridden, as in Autoware."""


@dataclass(frozen=True)
class Detections:
    """A message as a frame, and what could not be used of it.

    Attributes:
        frame: Of all detections that have an id.
        without_id: How many were left out.
        unknown_classes: Best class ids that `KIND_OF_CLASS` does not know, sorted; empty where a detection has none.
    """

    frame: TrackedFrame
    without_id: int
    unknown_classes: tuple[str, ...]

    @property
    def complaint(self) -> str:
        """What could not be used, in words; empty where all could."""
        parts = []
        if self.without_id:
            total = self.without_id + len(self.frame)
            parts.append(f"{self.without_id} of {total} detections have no id; send what a tracker gives")
        if self.unknown_classes:
            words = ", ".join(repr(name[:40]) for name in self.unknown_classes[:8])
            parts.append(f"classes that are not known, of objects that are not forecast: {words}")
        return "; ".join(parts)


def detections_of(message: Any, city_SE2_ego: SE2) -> Detections:
    """What a Detection3DArray of the map frame says, from `deserialize` or from rclpy."""
    named = [detection for detection in message.detections if detection.id]
    classes = [_best_class(detection) for detection in named]
    boxes = [detection.bbox for detection in named]
    place = np.array([(box.center.position.x, box.center.position.y) for box in boxes]).reshape(-1, 2)
    turn = np.array([(q.x, q.y, q.z, q.w) for q in (box.center.orientation for box in boxes)]).reshape(-1, 4)
    size = np.array([(box.size.x, box.size.y, box.size.z) for box in boxes]).reshape(-1, 3)
    frame = TrackedFrame(
        stamp_ns=stamp_ns_of(message.header),
        city_SE2_ego=city_SE2_ego,
        ids=tuple(detection.id for detection in named),
        kinds=np.array([KIND_OF_CLASS.get(name, AgentKind.UNKNOWN) for name in classes], dtype=np.int64),
        position=place,
        heading=_yaw(turn),
        size=size,
    )
    return Detections(frame, len(message.detections) - len(named), tuple(sorted({*classes} - KIND_OF_CLASS.keys())))


def _best_class(detection: Any) -> str:
    """The class id of the highest score, the first of equals, as `KIND_OF_CLASS` writes it."""
    best = max((result.hypothesis for result in detection.results), key=lambda one: one.score, default=None)
    return "" if best is None else best.class_id.strip().lower().replace(" ", "_").replace("-", "_")


def _yaw(quaternions: Float[np.ndarray, "boxes 4"]) -> Float[np.ndarray, " boxes"]:
    """Headings; NaN, which the node's screening leaves out, where a quaternion is not of length one."""
    small = (np.abs(quaternions) < 2).all(axis=1, keepdims=True)  # false for NaN
    safe = np.where(small, quaternions, 0.0)
    unit = np.abs((safe * safe).sum(axis=1) - 1) < 2e-3
    return np.where(unit, yaw(safe), np.nan)
