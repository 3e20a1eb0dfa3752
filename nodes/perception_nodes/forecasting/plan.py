"""What a deployment's file says of a forecasting node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from perception_nodes.operations.node_plan import NodePlan
from perception_nodes.ros.messages import FORECAST_STATUS, ODOMETRY, POLYLINE_MAP, PREDICTED_OBJECTS, topic_of
from perception_nodes.ros.odometry import ODOMETRY_TOPIC
from perception_nodes.ros.wire import LATCHED, Topic

# Autoware's own names where it has some: its planners read the output there.
OBJECTS = "/perception/object_recognition/tracking/objects"
MAP = "/map/polylines"
FORECASTS = "/perception/object_recognition/objects"
STATUS = "/perception/object_recognition/prediction/status"


@dataclass(frozen=True)
class ForecastPlan(NodePlan):
    """A node that forecasts the tracked objects around a robot.

    Attributes:
        objects: Topic of the tracked objects.
        objects_type: Type of their messages; `perception_nodes.forecasting.detections` says what detections must have.
        ego: Topic of the odometry.
        map: Topic of the latched map.
        forecasts: Topic of the predicted objects.
        status: Topic of the message that goes with each forecast: its latency, its age, whether to act on it.
    """

    kind: ClassVar[str] = "forecast"

    objects: str = OBJECTS
    objects_type: Literal["autoware_perception_msgs/msg/TrackedObjects", "vision_msgs/msg/Detection3DArray"] = (
        "autoware_perception_msgs/msg/TrackedObjects"
    )
    ego: str = ODOMETRY_TOPIC
    map: str = MAP
    forecasts: str = FORECASTS
    status: str = STATUS

    @property
    def inputs(self) -> tuple[Topic, ...]:
        """Tracked objects, odometry and map."""
        return (
            topic_of(self.objects, self.objects_type),
            topic_of(self.ego, ODOMETRY),
            topic_of(self.map, POLYLINE_MAP, LATCHED),
        )

    @property
    def outputs(self) -> tuple[Topic, ...]:
        """Predicted objects and their status."""
        return (topic_of(self.forecasts, PREDICTED_OBJECTS), topic_of(self.status, FORECAST_STATUS))
