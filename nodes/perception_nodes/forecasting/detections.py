"""Reads `vision_msgs/Detection3DArray` for the forecasting node, from trackers that do not use Autoware's messages.

What the sender must provide:

* `id`: the track's id, the same in every message of the track. A detection without an id belongs to no track and is
  left out; behind a plain detector, run a tracker. Forecasts name an object by a UUID: the id itself if it is one,
  otherwise a UUID made from it, the same every time (`perception_nodes.forecasting.messages`).
* `bbox`: in the frame of the ego pose (`map`). The message's header names the frame; headers of single detections are
  not read.
* `class_id`: one of the words in `KIND_OF_CLASS`.

The message has no velocity and needs none. As for Autoware's objects, the node computes it from the last two steps of
its own 10 Hz history; an object that is seen for the first time has velocity 0.

`rosbags` reads a message of 100 detections in 2.5 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from perception.geometry import SE2, yaw
from perception.traffic.scenario import AgentKind
from perception_nodes.forecasting.tick import Tick
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
"""Class names of Argoverse 2, Autoware, COCO, KITTI and nuScenes' detections, in lower case with underscores.

Objects of other classes are UNKNOWN and not forecast. Bicycles and motorcycles count as ridden, as in Autoware."""


@dataclass(frozen=True)
class Detections:
    """A message as a tick, and what of it could not be used.

    Attributes:
        tick: All detections that have an id.
        without_id: Number of detections that were left out because they have none.
        unknown_classes: Best class ids that are not in `KIND_OF_CLASS`, sorted; a detection without any counts as "".
    """

    tick: Tick
    without_id: int
    unknown_classes: tuple[str, ...]

    @property
    def complaint(self) -> str:
        """What could not be used, in words; empty if all could."""
        parts = []
        if self.without_id:
            total = self.without_id + len(self.tick)
            parts.append(f"{self.without_id} of {total} detections have no id; send what a tracker gives")
        if self.unknown_classes:
            words = ", ".join(repr(name[:40]) for name in self.unknown_classes[:8])
            parts.append(f"classes that are not known, of objects that are not forecast: {words}")
        return "; ".join(parts)


def detections_of(message: Any, city_SE2_ego: SE2) -> Detections:
    """Returns the content of a Detection3DArray in the map frame, from `deserialize` or from rclpy."""
    named = [detection for detection in message.detections if detection.id]
    classes = [_best_class(detection) for detection in named]
    boxes = [detection.bbox for detection in named]
    place = np.array([(box.center.position.x, box.center.position.y) for box in boxes]).reshape(-1, 2)
    turn = np.array([(q.x, q.y, q.z, q.w) for q in (box.center.orientation for box in boxes)]).reshape(-1, 4)
    size = np.array([(box.size.x, box.size.y, box.size.z) for box in boxes]).reshape(-1, 3)
    tick = Tick(
        stamp_ns=stamp_ns_of(message.header),
        city_SE2_ego=city_SE2_ego,
        ids=tuple(detection.id for detection in named),
        kinds=np.array([KIND_OF_CLASS.get(name, AgentKind.UNKNOWN) for name in classes], dtype=np.int64),
        position=place,
        heading=_yaw(turn),
        size=size,
    )
    return Detections(tick, len(message.detections) - len(named), tuple(sorted({*classes} - KIND_OF_CLASS.keys())))


def _best_class(detection: Any) -> str:
    """Returns the class id of the highest score, the first of equals, in the spelling of `KIND_OF_CLASS`."""
    best = max((result.hypothesis for result in detection.results), key=lambda one: one.score, default=None)
    return "" if best is None else best.class_id.strip().lower().replace(" ", "_").replace("-", "_")


def _yaw(quaternions: Float[np.ndarray, "boxes 4"]) -> Float[np.ndarray, " boxes"]:
    """Returns headings; NaN, which the node's screening leaves out, where a quaternion is not of length one."""
    small = (np.abs(quaternions) < 2).all(axis=1, keepdims=True)  # false for NaN
    safe = np.where(small, quaternions, 0.0)
    unit = np.abs((safe * safe).sum(axis=1) - 1) < 2e-3
    return np.where(unit, yaw(safe), np.nan)
