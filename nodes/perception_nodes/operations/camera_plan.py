"""What a deployment's file says of a node that classifies what a camera sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from typing_extensions import override

from perception_nodes.operations.node_plan import expect_positive
from perception_nodes.operations.sensor_plan import SensorPlan
from perception_nodes.ros.messages import CLASSIFICATION, topic_of
from perception_nodes.ros.wire import SENSOR_DATA, Topic

IMAGES = "/camera/image_raw"


@dataclass(frozen=True)
class CameraPlan(SensorPlan):
    """The keys of every such node; a kind has topics of its own for `classes` and `status`.

    Attributes:
        images: Topic of the pictures.
        images_type: Type of their messages.
        classes: Topic of the likeliest classes.
        status: Topic of the message that goes with each: its latency, its age, and why there is no answer.
        top: Number of classes that are named.
    """

    images: str = IMAGES
    images_type: Literal["sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"] = "sensor_msgs/msg/Image"
    classes: str = ""
    status: str = ""
    top: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_positive("node", top=self.top)

    @property
    @override
    def sensor(self) -> Topic:
        """The pictures."""
        return topic_of(self.images, self.images_type, SENSOR_DATA)

    @property
    @override
    def answers(self) -> Topic:
        """The likeliest classes."""
        return topic_of(self.classes, CLASSIFICATION)

    @property
    @override
    def status_name(self) -> str:
        """Topic of their statuses."""
        return self.status
