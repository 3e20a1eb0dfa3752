"""The video node on zenoh: pictures in, actions and a status out."""

from __future__ import annotations

from typing_extensions import override

from perception_nodes.operations.classifier_process import ClassifierProcess
from perception_nodes.operations.sensor_process import SensorMessage
from perception_nodes.ros.topics import RosNode
from perception_nodes.video.messages import answer_to
from perception_nodes.video.node import VideoNode
from perception_nodes.video.plan import VideoPlan

WAITING = 32
"""Number of pictures that may wait while the model computes: a second of most cameras."""


class VideoProcess(ClassifierProcess[VideoNode]):
    """Runs a configured node between topics; see `ClassifierProcess`.

    Every picture is taken into the clip. Those that came while the model computed are all taken before the next answer,
    which is of the newest of them. Where pictures come faster than they are read, an answer is given all the same after
    `every` and `WAITING` of them.

    Args:
        node: A configured node.
        ros: Its ROS node on zenoh.
        plan: Its topics and limits.
    """

    def __init__(self, node: VideoNode, ros: RosNode, plan: VideoPlan) -> None:
        self._type, self._most = plan.images_type, plan.every + WAITING
        super().__init__(node, ros, plan, WAITING)

    @override
    def _answer(self, message: SensorMessage) -> bytes | None:
        return answer_to(message.cdr, self._type, self._node, self._can_wait)

    def _can_wait(self) -> bool:
        """Whether the rate does not allow an answer yet, or there is a newer picture."""
        return self._early_s() > 0 or (self._inbox.waiting > 0 and self._node.unanswered < self._most)
