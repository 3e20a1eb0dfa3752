"""The forecasting node of a deployment, with its model."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.process import ForecastingProcess
from perception_tools.forecasting.model import load_model
from perception_tools.served_models import served_model, use_remote_block

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.forecasting.plan import ForecastPlan
    from perception_nodes.ros.topics import RosNode


def open_node(plan: ForecastPlan, session: zenoh.Session, ros: RosNode, open_: ExitStack) -> ForecastingProcess:
    """Starts the node between its topics."""
    return open_.enter_context(ForecastingProcess(configured_node(plan, session, open_), ros, plan))


def configured_node(plan: ForecastPlan, session: zenoh.Session, open_: ExitStack) -> ForecastingNode:
    """A node with its model, warmed up; the trained block leaves memory with this function where it is not used."""
    trained, node = load_model(plan.checkpoint), ForecastingNode()
    model, model_id = served_model(trained, plan)
    node.configure(model, history_steps=trained.training.history_steps, model_id=model_id)
    use_remote_block(model, plan, session, open_)
    return node
