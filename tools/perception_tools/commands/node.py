"""`perception node`: a node of a robot as a process."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from tyro.conf import Positional, arg

from perception.errors import InputError
from perception_tools.extras import require
from perception_tools.references import resolve
from perception_tools.tasks import all_tasks, task_of_node

if TYPE_CHECKING:
    import zenoh

    from perception_nodes.operations.deployment import Deployment
    from perception_nodes.operations.endpoints import StopSignal
    from perception_nodes.operations.topic_process import TopicProcess
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.security.identity import Identity


KINDS = [task.node_kind for task in all_tasks() if task.node_kind]
Kind = Annotated[str, Positional, arg(metavar=f"{{{','.join(KINDS)}}}")]


def node(kind: Kind, config: Path, name: str | None = None) -> NoReturn:
    """Run a node of a deployment, from zenoh to zenoh in ROS 2's messages, until SIGTERM.

    Prints one line of JSON when it is ready.

    Args:
        kind: What the node does.
        config: The deployment's YAML file.
        name: Name of the node in that file; by default its kind's.
    """
    from perception_nodes.operations.deployment import read_deployment

    task, name = task_of_node(kind), name or kind.replace("-", "_")
    deployment = read_deployment(config)
    plans = deployment.nodes_of(kind)
    if name not in plans:
        raise InputError(f"{config}: expected the node {name!r}, found {', '.join(plans) or 'none'}; name one of them")
    assert task.node is not None
    open_node = resolve(task.node)

    def start(session: zenoh.Session, ros: RosNode, open_: ExitStack) -> TopicProcess:
        return open_node(plans[name], session, ros, open_)

    _run(deployment, name, plans[name], start)


def show_in_foxglove(config: Path) -> NoReturn:
    """Show a deployment's topics live in Foxglove's app, on a WebSocket on loopback, until SIGTERM.

    In the app: open connection, Foxglove WebSocket, ws://localhost:8765. Needs the extra [foxglove]. Prints one line of
    JSON when it is ready.

    Args:
        config: The deployment's YAML file; its `foxglove:` says on which port.
    """
    from perception_nodes.operations.deployment import FOXGLOVE, FoxglovePlan, read_deployment

    require("foxglove")
    deployment = read_deployment(config)
    plan = deployment.foxglove or FoxglovePlan()

    def start(_: zenoh.Session, ros: RosNode, open_: ExitStack) -> TopicProcess:
        from perception_nodes.foxglove.process import FoxgloveProcess

        return open_.enter_context(FoxgloveProcess(ros, plan, deployment))

    _run(deployment, FOXGLOVE, plan, start)


def _run(
    deployment: Deployment,
    name: str,
    plan: Any,
    start: Callable[[zenoh.Session, RosNode, ExitStack], TopicProcess],
) -> NoReturn:
    """A node's process from its start to its end."""
    from perception_nodes.operations.endpoints import OperationsServer, StopSignal, leave
    from perception_nodes.operations.json_logs import log_as_json
    from perception_nodes.operations.watchdog import READY, notify, watched
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.ros.wire import RmwZenoh

    log_as_json()
    with StopSignal() as stop, ExitStack() as open_:
        identity = deployment.identity_of(name)
        session = _session(deployment, identity, stop)
        if session is None:
            leave(0)
        open_.enter_context(session)
        ros = open_.enter_context(RosNode(session, RmwZenoh(node=name, domain=plan.domain)))
        process = start(session, ros, open_)
        works = process.works
        if identity is not None:
            from perception_nodes.operations.certificate_expiry import CertificateExpiry, diagnosed

            expiry = CertificateExpiry(identity, name)
            process.registry.register(expiry)
            works = diagnosed(expiry, ros, works)
        ready: dict[str, object] = {"node": name, "zenoh": str(session.zid())}
        if plan.metrics is not None:
            server = OperationsServer(plan.metrics, live=process.live, ready=process.ready, registry=process.registry)
            ready["metrics"] = open_.enter_context(server).port
        ready |= process.places
        print(json.dumps(ready), flush=True)
        notify(READY)
        stopped = stop.wait(watched(works))
    leave(0 if stopped else 1)


def _session(deployment: Deployment, identity: Identity | None, stop: StopSignal) -> zenoh.Session | None:
    """A process's session, with its certificate where the deployment has security; None if it is to stop already."""
    from perception_nodes.operations.router import join_router
    from perception_nodes.ros.topics import open_session

    if identity is None:
        return open_session([deployment.router.place])
    return join_router(deployment.router.place, identity, stop)
