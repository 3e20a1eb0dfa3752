"""The process of a node around a classifier: active from its start to its end."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from typing_extensions import override

from perception_nodes.operations.classifier_node import ClassifierNode
from perception_nodes.operations.sensor_plan import SensorPlan
from perception_nodes.operations.sensor_process import SensorProcess
from perception_nodes.ros.topics import RosNode

N = TypeVar("N", bound=ClassifierNode[Any])


class ClassifierProcess(SensorProcess, Generic[N]):
    """Runs a configured node between topics; activates it, and shuts it down when closed.

    What a kind needs to answer must be there before this is initialised: messages come from then on.

    Args:
        node: A configured node.
        ros: Its ROS node on zenoh.
        plan: Its topics and limits.
        waiting: See `SensorProcess`.
    """

    def __init__(self, node: N, ros: RosNode, plan: SensorPlan, waiting: int = 1) -> None:
        super().__init__(ros, plan, plan.kind, node.model_id, waiting)
        self._node = node
        node.activate()
        self._start(ros)

    @override
    def close(self) -> None:
        """Answers the message that has come, and ends; a second call does nothing."""
        if not self._closing:
            super().close()
            self._node.shutdown()
