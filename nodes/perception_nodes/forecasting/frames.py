"""Brings objects and the ego's pose into the map's frame, by odometry and tf."""

from __future__ import annotations

from dataclasses import dataclass

from perception.geometry import SE2
from perception_nodes.forecasting.messages import SensedObjects
from perception_nodes.forecasting.tick import Tick
from perception_nodes.ros.messages import ODOMETRY, deserialize, stamp_ns_of
from perception_nodes.ros.odometry import transform_of
from perception_nodes.ros.tf import take_transforms
from perception_nodes.ros.transforms import NoTransform, TransformBuffer

BASE_LINK = "base_link"
"""The ego's frame where no odometry names another."""
_NOWHERE = SE2(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class PlacedTick:
    """Objects in the map's frame.

    Attributes:
        tick: They, and the ego's pose, which is NaN if it is not known.
        frame_id: Name of the map's frame.
        no_pose: Why the ego's pose is not known; empty if it is.
    """

    tick: Tick
    frame_id: str
    no_pose: str


class MapFrame:
    """Knows where the ego and the senders of objects are in the map.

    The map's frame is that of the map's message; before one comes, that of the odometry.
    """

    def __init__(self) -> None:
        self._buffer = TransformBuffer()
        self._map = self._odometry = ""
        self._ego = BASE_LINK

    @property
    def name(self) -> str:
        """Name of the map's frame; empty while nothing says it."""
        return self._map or self._odometry

    def take_map_frame(self, name: str) -> None:
        """Takes the frame of a map's message."""
        self._map = name

    def take_odometry(self, cdr: bytes) -> None:
        """Takes a `nav_msgs/Odometry`, which is believed before tf; thread-safe, as are the others."""
        message = deserialize(cdr, ODOMETRY)
        frame, ego = message.header.frame_id, message.child_frame_id or BASE_LINK
        self._buffer.put(frame, ego, stamp_ns_of(message.header), transform_of(message), preferred=True)
        self._odometry, self._ego = frame, ego

    def take_tf(self, cdr: bytes) -> None:
        """Takes a message of `/tf`."""
        take_transforms(cdr, self._buffer, static=False)

    def take_tf_static(self, cdr: bytes) -> None:
        """Takes a message of `/tf_static`."""
        take_transforms(cdr, self._buffer, static=True)

    def place(self, sensed: SensedObjects) -> PlacedTick:
        """Returns objects in the map's frame, with the ego's pose at their time if it is known.

        Raises:
            NoTransform: Their frame cannot be resolved.
        """
        frame, stamp_ns = self.name or sensed.frame_id, sensed.stamp_ns
        ego, no_pose = _NOWHERE, ""
        try:
            if frame != self._ego:
                ego = self._buffer.lookup_planar(frame, self._ego, stamp_ns)
            else:
                no_pose = f"no pose of {self._ego!r} in a map: the objects are in it, and there is no odometry"
        except NoTransform as error:
            no_pose = str(error)
        if sensed.frame_id == frame:
            return PlacedTick(sensed.at(ego), frame, no_pose)
        map_SE3_sensor = self._buffer.lookup(frame, sensed.frame_id, stamp_ns)
        return PlacedTick(sensed.transformed(frame, map_SE3_sensor).at(ego), frame, no_pose)
