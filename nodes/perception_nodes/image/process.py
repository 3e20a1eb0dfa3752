"""The camera node on zenoh: pictures in, their classes and a status out."""

from __future__ import annotations

from typing_extensions import override

from perception_nodes.image.messages import answer_to
from perception_nodes.image.node import ImageNode
from perception_nodes.image.plan import ImagePlan
from perception_nodes.operations.sensor_process import SensorMessage, SensorProcess
from perception_nodes.ros.topics import RosNode


class ImageProcess(SensorProcess):
    """Runs a configured node between topics; activates it, and shuts it down when closed.

    Args:
        node: A configured node.
        ros: Its ROS node on zenoh.
        plan: Its topics and limits.
    """

    def __init__(self, node: ImageNode, ros: RosNode, plan: ImagePlan) -> None:
        super().__init__(ros, plan, "image", node.model_id)
        self._node, self._type = node, plan.images_type
        node.activate()
        self._start(ros)

    @override
    def close(self) -> None:
        """Answers the picture that has come, and ends; a second call does nothing."""
        if not self._closing:
            super().close()
            self._node.shutdown()

    @override
    def _answer(self, message: SensorMessage) -> bytes:
        return answer_to(message.cdr, self._type, self._node)
