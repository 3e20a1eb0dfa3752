"""What a deployment's file says of a node that classifies a camera's pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from typing_extensions import override

from perception_nodes.operations.node_plan import expect_positive
from perception_nodes.operations.sensor_plan import SensorPlan
from perception_nodes.ros.messages import CLASSIFICATION, topic_of
from perception_nodes.ros.wire import SENSOR_DATA, Topic

IMAGES = "/camera/image_raw"
CLASSES = "/perception/camera/classes"
STATUS = "/perception/camera/classes/status"


@dataclass(frozen=True)
class ImagePlan(SensorPlan):
    """A node that classifies a camera's pictures.

    Attributes:
        images: Topic of the pictures.
        images_type: Type of their messages.
        classes: Topic of the likeliest classes of each picture.
        status: Topic of the message that goes with each: its latency, its age, and why there is no answer.
        top: Number of classes that are named.
    """

    kind: ClassVar[str] = "image"

    images: str = IMAGES
    images_type: Literal["sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"] = "sensor_msgs/msg/Image"
    classes: str = CLASSES
    status: str = STATUS
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
