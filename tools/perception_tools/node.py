"""`perception node`: a node of a robot as a process."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from perception.errors import InputError

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.forecasting.node import ForecastingNode
    from perception_nodes.operations.deployment import Deployment, ForecastPlan


def forecast(config: Path, name: str = "forecast") -> NoReturn:
    """Forecast the tracked objects of a robot, from zenoh to zenoh in ROS 2's messages, until SIGTERM.

    Prints one line of JSON when it is ready.

    Args:
        config: The deployment's YAML file; the node is one of its `nodes`.
        name: Which.
    """
    from perception_nodes.operations.deployment import read_deployment

    deployment = read_deployment(config)
    if name not in deployment.nodes:
        raise InputError(
            f"{config}: expected the node {name!r}, found {', '.join(deployment.nodes) or 'none'}; name one of them"
        )
    plan = deployment.nodes[name]
    import torch

    from perception_nodes.forecasting.process import ForecastingProcess
    from perception_nodes.operations.endpoints import OperationsServer, StopSignal, leave
    from perception_nodes.operations.json_logs import log_as_json
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.ros.wire import RmwZenoh

    log_as_json()
    torch.set_num_threads(plan.threads)
    stop = StopSignal()
    with ExitStack() as open_:
        session = open_.enter_context(_session(deployment, name))
        node = _configured(plan, session, open_)
        ros = open_.enter_context(RosNode(session, RmwZenoh(node=name, domain=plan.domain)))
        process = open_.enter_context(ForecastingProcess(node, ros, plan))
        ready: dict[str, object] = {"node": name, "zenoh": str(session.zid())}
        if plan.metrics is not None:
            server = OperationsServer(plan.metrics, live=process.live, ready=process.ready, registry=process.registry)
            ready["metrics"] = open_.enter_context(server).port
        print(json.dumps(ready), flush=True)
        stopped = stop.wait(process.works)
    leave(0 if stopped else 1)


def _session(deployment: Deployment, name: str) -> zenoh.Session:
    """A process's session: with its certificate where the deployment has security."""
    from perception_nodes.ros.topics import open_secure_session, open_session

    identity = deployment.identity_of(name)
    if identity is None:
        return open_session([deployment.router.place])
    return open_secure_session(deployment.router.place, identity)


def _configured(plan: ForecastPlan, session: zenoh.Session, open_: ExitStack) -> ForecastingNode:
    """A node with its model; the trained block leaves memory with this function where a folded one is used."""
    from perception_nodes.block.client import RemoteBlock
    from perception_nodes.block.over_zenoh import ZenohBlocks
    from perception_nodes.forecasting.node import ForecastingNode
    from perception_tools.forecasting.model_file import load_model
    from perception_tools.forecasting.serving import model_id, served_model

    trained, node = load_model(plan.checkpoint), ForecastingNode()
    if plan.block is None:
        model, form = served_model(trained, plan.precision), plan.precision
    else:
        model, form = trained.model, f"service/{plan.block}"
    name = model_id(trained, plan.checkpoint, form)
    node.configure(model, history_steps=trained.training.history_steps, model_id=name)
    if plan.block is not None:  # only now: warming up must not wait for the service
        blocks = ZenohBlocks(session)
        open_.callback(blocks.close)
        model.add_module("block", RemoteBlock(blocks, plan.block, plan.timeout_ms / 1e3))
    return node
