"""The messages that a node's objects may come in, each read to the same thing: a frame that still lacks the ego's pose.

Autoware's trackers say UUIDs and velocities, others only boxes with ids (`perception_nodes.ros.detections`). The node
needs no more than the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from perception.geometry import SE2
from perception_nodes.forecasting.frames import TrackedFrame
from perception_nodes.ros.autoware import frame_of
from perception_nodes.ros.cdr import read_tracked_objects
from perception_nodes.ros.detections import DETECTIONS, detections_of
from perception_nodes.ros.messages import TRACKED_OBJECTS, deserialize

_NOWHERE = SE2(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class SensedObjects:
    """What a message says.

    Attributes:
        unposed: The objects, without the ego's pose.
        frame_id: Frame of their coordinates.
        complaint: What of the message could not be used; empty where all could.
    """

    unposed: TrackedFrame
    frame_id: str
    complaint: str = ""

    @property
    def stamp_ns(self) -> int:
        """When the objects were sensed."""
        return self.unposed.stamp_ns

    def at(self, city_SE2_ego: SE2) -> TrackedFrame:
        """The frame, once the ego's pose at its time is known."""
        return replace(self.unposed, city_SE2_ego=city_SE2_ego)


def _of_tracked_objects(cdr: bytes) -> SensedObjects:
    objects = read_tracked_objects(cdr)
    return SensedObjects(frame_of(objects, _NOWHERE), objects.frame_id)


def _of_detections(cdr: bytes) -> SensedObjects:
    message = deserialize(cdr, DETECTIONS)
    detections = detections_of(message, _NOWHERE)
    return SensedObjects(detections.frame, message.header.frame_id, detections.complaint)


READERS: Mapping[str, Callable[[bytes], SensedObjects]] = {
    TRACKED_OBJECTS: _of_tracked_objects,
    DETECTIONS: _of_detections,
}
"""By the type of the message; each raises `MalformedMessage`."""
