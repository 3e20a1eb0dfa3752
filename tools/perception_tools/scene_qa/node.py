"""The scene question node of a deployment, with its model."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from perception_nodes.scene_qa.node import SceneQaNode, SceneQaSettings
from perception_nodes.scene_qa.process import SceneQaProcess
from perception_nodes.scene_qa.scan_file import read_scan
from perception_tools.scene_qa.model import load_answerer
from perception_tools.served_models import served_model, use_remote_block

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.ros.topics import RosNode
    from perception_nodes.scene_qa.plan import SceneQaPlan


def open_node(plan: SceneQaPlan, session: zenoh.Session, ros: RosNode, open_: ExitStack) -> SceneQaProcess:
    """Starts the node between its topics, with the scan that its plan names."""
    scan = None if plan.scan is None else read_scan(plan.scan, stamp_ns=time.time_ns())
    return open_.enter_context(SceneQaProcess(configured_node(plan, session, open_), ros, plan, scan))


def configured_node(plan: SceneQaPlan, session: zenoh.Session, open_: ExitStack) -> SceneQaNode:
    """A node with its model; the trained block leaves memory with this function where it is not used."""
    trained = load_answerer(plan.checkpoint)
    node = SceneQaNode(SceneQaSettings(plan.max_age_s, plan.max_lag_s, plan.min_confidence))
    model, model_id = served_model(trained, plan)
    node.configure(model, trained.answers, model_id=model_id)
    use_remote_block(model, plan, session, open_)
    return node
