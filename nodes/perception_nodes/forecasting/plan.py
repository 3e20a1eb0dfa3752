"""What a deployment's file says of a forecasting node."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from typing_extensions import override

from perception.errors import InputError
from perception_nodes.operations.node_plan import NodePlan, expect_positive
from perception_nodes.ros.clock import CLOCK_TOPIC
from perception_nodes.ros.messages import (
    CLOCK,
    FORECAST_STATUS,
    ODOMETRY,
    POLYLINE_MAP,
    PREDICTED_OBJECTS,
    TF,
    topic_of,
)
from perception_nodes.ros.odometry import ODOMETRY_TOPIC
from perception_nodes.ros.tf import TF_QOS, TF_STATIC_QOS, TF_STATIC_TOPIC, TF_TOPIC
from perception_nodes.ros.wire import LATCHED, SENSOR_DATA, Topic

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
        map: Topic of the latched map; not read with a `map_file`.
        map_file: File of the map, as `perception map convert` writes it. Without it the map comes from its topic.
        forecasts: Topic of the predicted objects.
        status: Topic of the message that goes with each forecast: its latency, its age, whether to act on it.
        deadline_ms: Time from receiving objects until they are answered, without the model if it has not answered.
        max_age_s: Objects with an older stamp are refused, in seconds.
        max_ahead_s: Objects with a stamp further ahead of the clock are refused, in seconds.
        use_sim_time: Whether the time is that of /clock, as in a simulation or when a log is played.
        standby_of: Name of the node that this one answers for while that is silent; null for a node of its own. Both
            have the same topics.
        silence_s: Silence of that node's status after which this one answers, in seconds.
    """

    kind: ClassVar[str] = "forecast"

    objects: str = OBJECTS
    objects_type: Literal["autoware_perception_msgs/msg/TrackedObjects", "vision_msgs/msg/Detection3DArray"] = (
        "autoware_perception_msgs/msg/TrackedObjects"
    )
    ego: str = ODOMETRY_TOPIC
    map: str = MAP
    map_file: Path | None = None
    forecasts: str = FORECASTS
    status: str = STATUS
    deadline_ms: float = 80.0
    max_age_s: float = 1.0
    max_ahead_s: float = 0.5
    use_sim_time: bool = False
    standby_of: str | None = None
    silence_s: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive(
            "node",
            deadline_ms=self.deadline_ms,
            max_age_s=self.max_age_s,
            max_ahead_s=self.max_ahead_s,
            silence_s=self.silence_s,
        )
        if self.silence_s < LEAST_SILENCE_S:
            raise InputError(
                f"node: expected silence_s of at least {LEAST_SILENCE_S:g}, got {self.silence_s:g}: a node that lives "
                "may be silent for 0.25 s; give more"
            )

    @property
    @override
    def stands_by(self) -> str | None:
        """The node that `standby_of` names."""
        return self.standby_of

    @property
    def inputs(self) -> tuple[Topic, ...]:
        """Tracked objects, odometry, map, transforms, the other node's status; a clock if it is simulated."""
        return (
            topic_of(self.objects, self.objects_type),
            topic_of(self.ego, ODOMETRY),
            *([topic_of(self.map, POLYLINE_MAP, LATCHED)] if self.map_file is None else ()),
            topic_of(TF_TOPIC, TF, TF_QOS),
            topic_of(TF_STATIC_TOPIC, TF, TF_STATIC_QOS),
            topic_of(self.status, FORECAST_STATUS),
            *([topic_of(CLOCK_TOPIC, CLOCK, SENSOR_DATA)] if self.use_sim_time else ()),
        )

    @property
    def outputs(self) -> tuple[Topic, ...]:
        """Predicted objects and their status."""
        return (topic_of(self.forecasts, PREDICTED_OBJECTS), topic_of(self.status, FORECAST_STATUS))


LEAST_SILENCE_S = 0.3
"""A status comes at least every 0.25 s."""
