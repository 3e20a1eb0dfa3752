"""The camera node on zenoh: pictures in, their classes and a status out."""

from __future__ import annotations

from typing_extensions import override

from perception_nodes.image.messages import answer_to
from perception_nodes.image.node import ImageNode
from perception_nodes.image.plan import ImagePlan
from perception_nodes.operations.classifier_process import ClassifierProcess
from perception_nodes.operations.sensor_process import SensorMessage
from perception_nodes.ros.topics import RosNode


class ImageProcess(ClassifierProcess[ImageNode]):
    """Runs a configured node between topics; see `ClassifierProcess`.

    Args:
        node: A configured node.
        ros: Its ROS node on zenoh.
        plan: Its topics and limits.
    """

    def __init__(self, node: ImageNode, ros: RosNode, plan: ImagePlan) -> None:
        self._type = plan.images_type
        super().__init__(node, ros, plan)

    @override
    def _answer(self, message: SensorMessage) -> bytes:
        return answer_to(message.cdr, self._type, self._node)
