"""The LiDAR node on zenoh: clouds and perhaps boxes in, classified objects and a status out."""

from __future__ import annotations

from typing_extensions import override

from perception.errors import InputError
from perception_nodes.operations.classifier_process import ClassifierProcess
from perception_nodes.operations.reasons import MissingInput
from perception_nodes.operations.sensor_process import SensorMessage
from perception_nodes.points.messages import answer_to_boxes, answer_to_cloud
from perception_nodes.points.node import PointsNode
from perception_nodes.points.plan import PointsPlan
from perception_nodes.points.recent_clouds import RecentClouds
from perception_nodes.ros.message_header import read_header
from perception_nodes.ros.topics import Received, RosNode


class PointsProcess(ClassifierProcess[PointsNode]):
    """Runs a configured node between topics; see `ClassifierProcess`.

    Args:
        node: A configured node.
        ros: Its ROS node on zenoh.
        plan: Its topics and limits.
    """

    def __init__(self, node: PointsNode, ros: RosNode, plan: PointsPlan) -> None:
        self._apart_s, self._clouds = plan.max_apart_s, plan.clouds
        self._recent = None if plan.boxes is None else RecentClouds()
        super().__init__(node, ros, plan)
        if self._recent is not None:
            ros.subscribe(plan.cloud_topic, self._keep)

    def _keep(self, received: Received) -> None:
        """Takes a cloud that boxes may come for."""
        assert self._recent is not None
        try:
            self._recent.put(read_header(received.cdr).stamp_ns, received.cdr)
        except InputError as error:
            self.failures.add(self._clouds, error)

    @override
    def _answer(self, message: SensorMessage) -> bytes:
        if self._recent is None:
            return answer_to_cloud(message.cdr, self._node)
        cloud = self._recent.nearest(message.header.stamp_ns, round(self._apart_s * 1e9), self._apart_s)
        if cloud is None:
            raise MissingInput(f"no cloud on {self._clouds} within {self._apart_s:g} s of the boxes")
        return answer_to_boxes(message.cdr, cloud, self._node)
