"""The forecasting node of a deployment, with its model; it answers before that is loaded, and before PyTorch is."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from perception.errors import InputError
from perception_nodes.exported.model_file import is_exported, open_exported
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.process import ForecastingProcess
from perception_nodes.operations.computing import keep_freed_memory
from perception_nodes.operations.torch_loading import preload_torch, without_collections
from perception_nodes.ros.clock import StreamClock
from perception_tools.forecasting.task import TASK
from perception_tools.model_metadata import read_metadata, served_model_id

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.forecasting.plan import ForecastPlan
    from perception_nodes.ros.topics import RosNode

SWITCH_S = 5e-4
"""Time after which a thread that computes lets another one go on: by default 5 ms, as much as an answer may be late."""
_LONGEST = 10_000
"""Maximum number of steps of a history or a future that is believed."""


def open_node(plan: ForecastPlan, session: zenoh.Session, ros: RosNode, open_: ExitStack) -> ForecastingProcess:
    """Starts the node between its topics; it loads its model meanwhile.

    Raises:
        InputError: There is no model, or it is none of forecasting.
    """
    sys.setswitchinterval(SWITCH_S)
    clock = StreamClock(simulated=plan.use_sim_time)
    node = waiting_node(plan, clock)
    process = ForecastingProcess(node, ros, plan, clock=clock, load=lambda: load_into(node, plan, session, open_))
    return open_.enter_context(process)


def waiting_node(plan: ForecastPlan, clock: StreamClock) -> ForecastingNode:
    """Returns a node that knows of its model what the model's file says of it."""
    exported = open_exported(plan.checkpoint).metadata if is_exported(plan.checkpoint) else None
    metadata = read_metadata(plan.checkpoint, TASK.format) if exported is None else exported
    training = metadata.get("training", {})
    history, horizon = (_steps_of(plan, training, name) for name in ("history_steps", "future_steps"))
    node = ForecastingNode(clock=clock.now_ns)
    name = served_model_id(str(training.get("name")), plan) if exported is None else str(exported.get("model_id"))
    node.configure(None, history_steps=history, horizon_steps=horizon, model_id=name)
    return node


def load_into(node: ForecastingNode, plan: ForecastPlan, session: zenoh.Session, open_: ExitStack) -> None:
    """Gives a node its model, warmed up; PyTorch is imported only for a model that it computes itself."""
    if plan.backend == "torch":
        _load_trained(node, plan, session, open_)
    else:
        _load_exported(node, plan)


def _load_exported(node: ForecastingNode, plan: ForecastPlan) -> None:
    from perception_tools.export.serving import serve_for

    keep_freed_memory()
    with without_collections():
        node.set_model(serve_for(plan))


def _load_trained(node: ForecastingNode, plan: ForecastPlan, session: zenoh.Session, open_: ExitStack) -> None:
    """The trained block leaves memory with this function where it is not used."""
    with without_collections():
        preload_torch()
        from perception_tools.forecasting.model import load_model
        from perception_tools.served_models import served_model, use_remote_block

        model, _ = served_model(load_model(plan.checkpoint), plan)
        node.set_model(model)
    use_remote_block(model, plan, session, open_, patient=False)  # who waits for a worker answers nobody


def configured_node(plan: ForecastPlan, session: zenoh.Session, open_: ExitStack) -> ForecastingNode:
    """Returns a node with its model."""
    node = waiting_node(plan, StreamClock(simulated=plan.use_sim_time))
    load_into(node, plan, session, open_)
    return node


def _steps_of(plan: ForecastPlan, training: dict[str, Any], name: str) -> int:
    steps = training.get(name)
    if type(steps) is not int or not 1 <= steps <= _LONGEST:
        raise InputError(
            f"{plan.checkpoint}: expected {name} from 1 to {_LONGEST}, found {steps!r}; copy or train the model again"
        )
    return steps
