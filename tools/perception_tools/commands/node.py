"""`perception node`: a node of a robot as a process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from perception.errors import InputError

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.forecasting.node import ForecastingNode
    from perception_nodes.forecasting.process import ForecastingProcess
    from perception_nodes.operations.deployment import Deployment, ForecastPlan, FoxglovePlan, SceneQaPlan
    from perception_nodes.recordings.foxglove_process import FoxgloveProcess
    from perception_nodes.ros.topic_process import TopicProcess
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.scene_qa.node import SceneQaNode
    from perception_nodes.scene_qa.process import SceneQaProcess

Plan = TypeVar("Plan")


def forecast(config: Path, name: str = "forecast") -> NoReturn:
    """Forecast the tracked objects of a robot, from zenoh to zenoh in ROS 2's messages, until SIGTERM.

    Prints one line of JSON when it is ready.

    Args:
        config: The deployment's YAML file; the node is one of its `nodes`.
        name: Which.
    """
    from perception_nodes.operations.deployment import read_deployment

    deployment = read_deployment(config)
    plan = _named(deployment.nodes, name, config)

    def start(session: zenoh.Session, ros: RosNode, open_: ExitStack) -> ForecastingProcess:
        from perception_nodes.forecasting.process import ForecastingProcess

        return open_.enter_context(ForecastingProcess(_forecaster(plan, session, open_), ros, plan))

    _run(deployment, name, plan, start)


def scene_qa(config: Path, name: str = "scene_qa") -> NoReturn:
    """Answer questions about the scene around a robot, or about a scan, on zenoh in ROS 2's messages, until SIGTERM.

    Prints one line of JSON when it is ready.

    Args:
        config: The deployment's YAML file; the node is one of its `scene_qa`.
        name: Which.
    """
    from perception_nodes.operations.deployment import read_deployment

    deployment = read_deployment(config)
    plan = _named(deployment.scene_qa, name, config)

    def start(session: zenoh.Session, ros: RosNode, open_: ExitStack) -> SceneQaProcess:
        from perception_nodes.scene_qa.process import SceneQaProcess
        from perception_nodes.scene_qa.scene_map import read_scan

        scan = None if plan.scan is None else read_scan(plan.scan, stamp_ns=time.time_ns())
        return open_.enter_context(SceneQaProcess(_answerer(plan, session, open_), ros, plan, scan))

    _run(deployment, name, plan, start)


def show_in_foxglove(config: Path) -> NoReturn:
    """Show a deployment's topics live in Foxglove's app, on a WebSocket on loopback, until SIGTERM.

    In the app: open connection, Foxglove WebSocket, ws://localhost:8765. Needs the extra [foxglove]. Prints one line of
    JSON when it is ready.

    Args:
        config: The deployment's YAML file; its `foxglove:` says on which port.
    """
    from perception_nodes.operations.deployment import FOXGLOVE, FoxglovePlan, read_deployment

    if find_spec("foxglove") is None:
        raise InputError("foxglove: expected foxglove-sdk to be installed; pip install 'frozen-perception[foxglove]'")
    deployment = read_deployment(config)
    plan = deployment.foxglove or FoxglovePlan()

    def start(_: zenoh.Session, ros: RosNode, open_: ExitStack) -> FoxgloveProcess:
        from perception_nodes.recordings.foxglove_process import FoxgloveProcess

        return open_.enter_context(FoxgloveProcess(ros, plan, deployment))

    _run(deployment, FOXGLOVE, plan, start)


def _named(plans: Mapping[str, Plan], name: str, config: Path) -> Plan:
    if name not in plans:
        raise InputError(f"{config}: expected the node {name!r}, found {', '.join(plans) or 'none'}; name one of them")
    return plans[name]


def _run(
    deployment: Deployment,
    name: str,
    plan: ForecastPlan | SceneQaPlan | FoxglovePlan,
    start: Callable[[zenoh.Session, RosNode, ExitStack], TopicProcess],
) -> NoReturn:
    """A node's process from its start to its end."""
    from perception_nodes.operations.endpoints import OperationsServer, StopSignal, leave
    from perception_nodes.operations.json_logs import log_as_json
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.ros.wire import RmwZenoh

    log_as_json()
    stop = StopSignal()
    with ExitStack() as open_:
        session = open_.enter_context(_session(deployment, name))
        ros = open_.enter_context(RosNode(session, RmwZenoh(node=name, domain=plan.domain)))
        process = start(session, ros, open_)
        ready: dict[str, object] = {"node": name, "zenoh": str(session.zid())}
        if plan.metrics is not None:
            server = OperationsServer(plan.metrics, live=process.live, ready=process.ready, registry=process.registry)
            ready["metrics"] = open_.enter_context(server).port
        ready |= process.places
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


def _forecaster(plan: ForecastPlan, session: zenoh.Session, open_: ExitStack) -> ForecastingNode:
    """A node with its model; the trained block leaves memory with this function where a folded one is used."""
    from perception.kernels.linear import for_inference
    from perception_nodes.block.client import RemoteBlock
    from perception_nodes.block.over_zenoh import ZenohBlocks
    from perception_nodes.forecasting.node import ForecastingNode
    from perception_nodes.operations.computing import compute_with
    from perception_tools.forecasting.model import load_model
    from perception_tools.forecasting.serving import served_model
    from perception_tools.model_files import model_id

    compute_with(plan.threads)
    trained, node = load_model(plan.checkpoint), ForecastingNode()
    if plan.block is None:
        model, form = served_model(trained, plan.precision), plan.precision
    else:
        model, form = for_inference(trained.model), f"service/{plan.block}"
    name = model_id(trained.training.name, plan.checkpoint, form)
    node.configure(model, history_steps=trained.training.history_steps, model_id=name)
    if plan.block is not None:  # only now: warming up must not wait for the service
        blocks = ZenohBlocks(session)
        open_.callback(blocks.close)
        model.add_module("block", RemoteBlock(blocks, plan.block, plan.timeout_ms / 1e3))
    return node


def _answerer(plan: SceneQaPlan, session: zenoh.Session, open_: ExitStack) -> SceneQaNode:
    """A node with its model."""
    from perception.kernels.linear import for_inference
    from perception_nodes.block.client import RemoteBlock
    from perception_nodes.block.over_zenoh import ZenohBlocks
    from perception_nodes.operations.computing import compute_with
    from perception_nodes.scene_qa.node import SceneQaNode, SceneQaSettings
    from perception_tools.model_files import model_id
    from perception_tools.scene_qa.model import load_answerer

    compute_with(plan.threads)
    trained = load_answerer(plan.checkpoint)
    model = for_inference(trained.model)
    if trained.recipe.legacy_color:
        raise InputError(f"{plan.checkpoint}: expected a model of true colours, got one trained with legacy_color")
    settings = SceneQaSettings(trained.recipe.points, plan.max_age_s, plan.max_lag_s, plan.min_confidence)
    node, form = SceneQaNode(settings), "float32"
    if plan.block is not None:
        blocks = ZenohBlocks(session)
        open_.callback(blocks.close)
        model.add_module("block", RemoteBlock(blocks, plan.block, plan.timeout_ms / 1e3))
        form = f"service/{plan.block}"
    node.configure(model, trained.answers, model_id=model_id(trained.training.name, plan.checkpoint, form))
    return node
