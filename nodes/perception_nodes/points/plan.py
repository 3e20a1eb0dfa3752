"""What a deployment's file says of a node that classifies the objects in a LiDAR's clouds."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

from typing_extensions import override

from perception.errors import InputError
from perception_nodes.operations.node_plan import expect_positive
from perception_nodes.operations.sensor_plan import SensorPlan
from perception_nodes.points.clustering import Clustering
from perception_nodes.ros.messages import DETECTIONS, POINT_CLOUD, topic_of
from perception_nodes.ros.wire import SENSOR_DATA, Topic

CLOUDS = "/sensing/lidar/concatenated/pointcloud"
OBJECTS = "/perception/lidar/objects"
STATUS = "/perception/lidar/objects/status"


@dataclass(frozen=True)
class PointsPlan(SensorPlan):
    """A node that classifies the objects in a LiDAR's clouds.

    Attributes:
        clouds: Topic of the clouds.
        boxes: Topic of boxes in them (vision_msgs/Detection3DArray), in the frame of the clouds; their contents are
            classified, and they go out as they came, with hypotheses added. null: the clouds are taken apart.
        max_apart_s: Boxes belong to the cloud of the nearest stamp, if it is not further apart, seconds; that cloud is
            also awaited for as long.
        objects: Topic of the objects with their classes.
        status: Topic of the message that goes with each: its latency, its age, and why there is no answer.
        top: Number of classes that are named for each object.
        min_points: Minimum number of points of an object; a given box with fewer gets no hypotheses.
        max_objects: Maximum number of objects: those with most points, or the first boxes.
        distance_m: Without boxes: points up to this distance apart belong together, to within half of it.
        max_size_m: Without boxes: what is longer, wider or higher is no object, but ground or a wall.
        low_m: Without boxes: lower points, in the frame of the clouds, are left out, such as those of the ground.
        high_m: Without boxes: higher points are left out.
        max_range_m: Without boxes: points further from the origin along an axis are left out.
    """

    kind: ClassVar[str] = "points"

    clouds: str = CLOUDS
    boxes: str | None = None
    max_apart_s: float = 0.05
    objects: str = OBJECTS
    status: str = STATUS
    top: int = 3
    min_points: int = 20
    max_objects: int = 64
    distance_m: float = 0.5
    max_size_m: float = 15.0
    low_m: float = -math.inf
    high_m: float = math.inf
    max_range_m: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive(
            "node",
            max_apart_s=self.max_apart_s,
            top=self.top,
            min_points=self.min_points,
            max_objects=self.max_objects,
            distance_m=self.distance_m,
            max_size_m=self.max_size_m,
            max_range_m=self.max_range_m,
        )
        if not self.low_m < self.high_m:
            raise InputError(f"node: expected low_m below high_m, got {self.low_m:g} and {self.high_m:g}")

    @property
    def clustering(self) -> Clustering:
        """What of a cloud is an object."""
        return Clustering(**{field.name: getattr(self, field.name) for field in fields(Clustering)})

    @property
    def cloud_topic(self) -> Topic:
        """The clouds."""
        return topic_of(self.clouds, POINT_CLOUD, SENSOR_DATA)

    @property
    @override
    def sensor(self) -> Topic:
        """The boxes, or the clouds where none are given."""
        return self.cloud_topic if self.boxes is None else topic_of(self.boxes, DETECTIONS)

    @property
    @override
    def companions(self) -> tuple[Topic, ...]:
        """The clouds that given boxes are in."""
        return () if self.boxes is None else (self.cloud_topic,)

    @property
    @override
    def answers(self) -> Topic:
        """The objects."""
        return topic_of(self.objects, DETECTIONS)

    @property
    @override
    def status_name(self) -> str:
        """Topic of their statuses."""
        return self.status
