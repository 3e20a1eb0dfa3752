"""`perception serve`: a process that answers for others."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tyro.conf import Positional

from perception.errors import InputError

if TYPE_CHECKING:
    from perception_nodes.block.host import BlockHost
    from perception_nodes.operations.endpoints import OperationsServer


def serve_block(
    folder: Positional[Path],
    name: tuple[str, ...] = (),
    zenoh: bool = False,
    connect: tuple[str, ...] = ("tcp/127.0.0.1:7447",),
    listen: tuple[str, ...] = ("tcp/127.0.0.1:0",),
    oip: int | None = None,
    oip_address: str = "127.0.0.1",
    metrics: int | None = None,
    threads: int = 1,
    json_logs: bool = False,
) -> NoReturn:
    """Serve folded pipelines around one block, each by its name, until SIGTERM.

    Prints one line of JSON when it is ready. On SIGTERM it sends clients elsewhere, answers those who asked, and ends
    within 5 s. Start several on one machine: they hold one copy of the block between them.

    Args:
        folder: Of one precision, written by `perception block fold`.
        name: Pipelines to serve, each the name of its file without the ending; all of the folder unless told.
        zenoh: Serve on zenoh, for nodes on a robot.
        connect: Where to look for a zenoh router or peers.
        listen: Where zenoh peers may connect.
        oip: Port to serve the Open Inference Protocol on gRPC at, for other hosts; 0 takes a free one.
        oip_address: To listen at; beyond loopback anybody may ask.
        metrics: Port for /livez, /readyz and /metrics on loopback; 0 takes a free one.
        threads: That torch computes with.
        json_logs: Log as JSON.
    """
    if not zenoh and oip is None:
        raise InputError("serve block: expected --zenoh or --oip PORT, got neither; say how clients come here")
    if threads < 1:
        raise InputError(f"--threads {threads}: expected at least 1; give the number of cores the service may use")
    import torch

    from perception_nodes.block.host import BlockHost, load_pipelines
    from perception_nodes.operations.endpoints import StopSignal, leave
    from perception_nodes.operations.json_logs import log_as_json

    if json_logs:
        log_as_json()
    torch.set_num_threads(threads)
    stop = StopSignal()
    with ExitStack() as open_:
        host = BlockHost(load_pipelines(folder, name))
        open_.callback(host.drain, 1.0)
        ready: dict[str, object] = {"serving": sorted(host.widths)}
        if oip is not None:
            from perception_nodes.block.oip import OipBlockServer

            server = OipBlockServer(host, oip, oip_address)
            open_.callback(server.close, 1.0)
            ready["oip"] = server.port
        if zenoh:
            from perception_nodes.block.over_zenoh import ZenohBlockWorker
            from perception_nodes.ros.topics import open_session

            session = open_.enter_context(open_session(connect, listen))
            open_.callback(ZenohBlockWorker(session, host).close, 2.0)  # the first to close: it sends clients elsewhere
            ready["zenoh"] = str(session.zid())
        if metrics is not None:
            ready["metrics"] = open_.enter_context(_operations(metrics, host)).port
        print(json.dumps(ready), flush=True)
        stop.wait()
    leave(0)


def _operations(port: int, host: BlockHost) -> OperationsServer:
    from prometheus_client import CollectorRegistry

    from perception_nodes.block.metrics import BlockServiceCollector
    from perception_nodes.operations.endpoints import OperationsServer

    registry = CollectorRegistry()
    registry.register(BlockServiceCollector(host.service))
    return OperationsServer(port, live=lambda: "", ready=lambda: "" if host.ready else "draining", registry=registry)


def serve_router(listen: str = "tcp/127.0.0.1:7447") -> NoReturn:
    """Run the zenoh router that a robot's processes meet at, until SIGTERM.

    Args:
        listen: Beyond loopback anybody may join.
    """
    from perception_nodes.operations.endpoints import StopSignal, leave
    from perception_nodes.operations.router import open_router

    stop = StopSignal()
    with open_router(listen) as session:
        print(json.dumps({"router": listen, "zenoh": str(session.zid())}), flush=True)
        stop.wait()
    leave(0)
