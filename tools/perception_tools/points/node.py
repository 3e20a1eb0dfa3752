"""The LiDAR node of a deployment, with its model."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from perception_nodes.operations.torch_loading import without_collections
from perception_nodes.points.node import PointsNode
from perception_nodes.points.process import PointsProcess
from perception_tools.classification.node import configure_node
from perception_tools.extras import require
from perception_tools.points.model import load_classifier

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.points.plan import PointsPlan
    from perception_nodes.ros.topics import RosNode


def open_node(plan: PointsPlan, session: zenoh.Session, ros: RosNode, open_: ExitStack) -> PointsProcess:
    """Starts the node between its topics.

    Raises:
        InputError: There is no model, it is none of clouds, or it is to take clouds apart and SciPy is not installed.
    """
    return open_.enter_context(PointsProcess(configured_node(plan, session, open_), ros, plan))


def configured_node(plan: PointsPlan, session: zenoh.Session, open_: ExitStack) -> PointsNode:
    """Returns a node with its model; the trained block leaves memory with this function where it is not used."""
    if plan.boxes is None:
        require("scipy", "lidar")
    with without_collections():
        node = PointsNode(plan.top, plan.clustering)
        configure_node(node, load_classifier(plan.checkpoint), plan, session, open_)
    return node
