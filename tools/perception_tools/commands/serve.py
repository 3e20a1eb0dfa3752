"""`perception serve`: the processes that nodes connect to, the block service and the router."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from tyro.conf import Positional

from perception.errors import InputError
from perception_nodes.block.limits import DEFAULT_LIMITS, RequestLimits
from perception_tools.export.precisions import ExportPrecision

if TYPE_CHECKING:
    import zenoh

    from perception.frozen.folded import FoldedBlock
    from perception_nodes.block.exported_tail import ExportedTail
    from perception_nodes.block.host import BlockHost
    from perception_nodes.exported.runtimes import Backend
    from perception_nodes.operations.deployment import Deployment
    from perception_nodes.operations.endpoints import OperationsServer, StopSignal
    from perception_nodes.security.identity import Identity


def serve_block(
    folder: Positional[Path],
    name: tuple[str, ...] = (),
    zenoh: bool = False,
    connect: tuple[str, ...] = ("tcp/127.0.0.1:7447",),
    listen: tuple[str, ...] = ("tcp/127.0.0.1:0",),
    oip: int | None = None,
    oip_address: str = "127.0.0.1",
    oip_client: tuple[str, ...] = (),
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    allow_unencrypted: bool = False,
    metrics: int | None = None,
    threads: int = 1,
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch",
    precision: ExportPrecision = "float32",
    provider: str | None = None,
    max_request_mb: int = DEFAULT_LIMITS.max_memory_mb,
    max_request_gflop: int = DEFAULT_LIMITS.max_gflop,
    json_logs: bool = False,
) -> NoReturn:
    """Serve folded pipelines around one block, each by its name, until SIGTERM.

    Prints one line of JSON when it is ready. On SIGTERM it sends clients to other workers, answers the pending
    requests, and ends within 5 s. If it cannot answer any more it ends with 1, to be started again. Several on one
    machine share one copy of the block in memory.

    Args:
        folder: Folder of one precision, written by `perception block fold`.
        name: Names of the pipelines to serve, those of their files without the ending; all of the folder by default.
        zenoh: Serve on zenoh, for nodes on a robot.
        connect: Endpoints of a zenoh router or peers. With certificates, the endpoint of the router.
        listen: Endpoints where zenoh peers may connect, without certificates only.
        oip: Port of the Open Inference Protocol on gRPC, for other hosts; 0 chooses a free one.
        oip_address: Address to listen at for gRPC.
        oip_client: With certificates, the common names of accepted gRPC clients; all others are refused.
        ca: Certificate of the authority that signed all certificates. With ca, certificate and key, all connections use
            TLS, with processes that show a certificate of that authority.
        certificate: Certificate of this process.
        key: Key of the certificate.
        allow_unencrypted: Listen beyond loopback without certificates too, where anybody may ask.
        metrics: Port of /livez, /readyz and /metrics on loopback; 0 chooses a free one.
        threads: Number of threads that compute.
        backend: What computes the block's tail, the large part that all pipelines share. All but torch take a folder in
            float32, and export the tail into it, once.
        precision: Precision of the tail's weights in that backend.
        provider: Device of that backend, in its own words; the processor by default.
        max_request_mb: Maximum memory that computing a request takes, MiB; larger ones are refused.
        max_request_gflop: Maximum work of a request, 10⁹ multiplications and additions; larger ones are refused.
        json_logs: Log as JSON.
    """
    if not zenoh and oip is None:
        raise InputError("serve block: expected --zenoh or --oip PORT, got neither; say how clients connect")
    if threads < 1:
        raise InputError(f"--threads {threads}: expected at least 1; give the number of cores the service may use")
    if backend == "torch" and (precision != "float32" or provider is not None):
        raise InputError("serve block: --precision and --provider are of another backend; add --backend onnxruntime")
    identity = _identity(ca, certificate, key)
    from perception_nodes.block.host import BlockHost, load_pipelines
    from perception_nodes.operations.computing import compute_with
    from perception_nodes.operations.endpoints import StopSignal, leave
    from perception_nodes.operations.json_logs import log_as_json
    from perception_nodes.operations.watchdog import READY, notify, watched

    if json_logs:
        log_as_json()
    compute_with(threads)
    limits = RequestLimits(max_memory_mb=max_request_mb, max_gflop=max_request_gflop)
    with StopSignal() as stop, ExitStack() as open_:
        pipelines = load_pipelines(folder, name)
        tail = None if backend == "torch" else _tail(pipelines, folder, backend, precision, threads, provider)
        host = BlockHost(pipelines, limits=limits, tail=tail)
        open_.callback(host.drain, 1.0)
        ready: dict[str, object] = {"serving": sorted(host.widths)}
        if oip is not None:
            from perception_nodes.block.oip import OipBlockServer

            server = OipBlockServer(
                host, oip, oip_address, identity=identity, clients=oip_client, allow_unencrypted=allow_unencrypted
            )
            open_.callback(server.close, 1.0)
            ready["oip"] = server.port
        if zenoh:
            from perception_nodes.block.over_zenoh import ZenohBlockWorker

            session = _session(connect, listen, identity, allow_unencrypted, stop)
            if session is None:
                leave(0)
            open_.enter_context(session)
            open_.callback(ZenohBlockWorker(session, host).close, 2.0)  # closes first, and sends clients elsewhere
            ready["zenoh"] = str(session.zid())
        if metrics is not None:
            ready["metrics"] = open_.enter_context(_operations(metrics, host, identity)).port
        print(json.dumps(ready), flush=True)
        notify(READY)
        stopped = stop.wait(watched(lambda: not host.trouble()))
    leave(0 if stopped else 1)


def _tail(
    pipelines: Mapping[str, FoldedBlock],
    folder: Path,
    backend: Backend,
    precision: ExportPrecision,
    threads: int,
    provider: str | None,
) -> ExportedTail:
    """The tail of a folder's pipelines in another runtime."""
    from perception_nodes.block.exported_tail import ExportedTail
    from perception_nodes.exported.runtimes import open_runtime
    from perception_tools.export.tail import exported_tail

    tail = next(iter(pipelines.values())).tail
    file = exported_tail(tail, folder, precision)
    return ExportedTail(open_runtime(file, backend, threads=threads, provider=provider), tail)


def _identity(ca: Path | None, certificate: Path | None, key: Path | None) -> Identity | None:
    if ca is None and certificate is None and key is None:
        return None
    if ca is None or certificate is None or key is None:
        raise InputError(
            "serve block: expected --ca, --certificate and --key together, got some of them; give all three"
        )
    from perception_nodes.security.identity import Identity

    return Identity(ca, certificate, key)


def _session(
    connect: tuple[str, ...],
    listen: tuple[str, ...],
    identity: Identity | None,
    allow_unencrypted: bool,
    stop: StopSignal,
) -> zenoh.Session | None:
    """The session of a worker; None if it is to stop already."""
    from perception_nodes.operations.router import join_router
    from perception_nodes.ros.topics import open_session

    if identity is None:
        return open_session(connect, listen, allow_unencrypted=allow_unencrypted)
    if len(connect) != 1:
        raise InputError(f"--connect: expected one router, since there are certificates, got {len(connect)}; name one")
    return join_router(connect[0], identity, stop)


def _operations(port: int, host: BlockHost, identity: Identity | None) -> OperationsServer:
    from prometheus_client import CollectorRegistry

    from perception_nodes.block.metrics import BlockServiceCollector
    from perception_nodes.operations.certificate_expiry import CertificateExpiry
    from perception_nodes.operations.endpoints import OperationsServer

    registry = CollectorRegistry()
    registry.register(BlockServiceCollector(host.service))
    if identity is not None:
        registry.register(CertificateExpiry(identity, identity.name))
    return OperationsServer(port, live=host.trouble, ready=lambda: "" if host.ready else "draining", registry=registry)


def serve_router(
    listen: str = "tcp/127.0.0.1:7447", config: Path | None = None, allow_unencrypted: bool = False
) -> NoReturn:
    """Run the zenoh router that a robot's processes meet at, until SIGTERM.

    It opens again when its certificate is renewed; the others connect again within seconds.

    Args:
        listen: Endpoint to listen at.
        config: The deployment's YAML file, which has the endpoint and the rights of each process.
        allow_unencrypted: Listen beyond loopback without certificates too, where anybody may join.
    """
    from perception_nodes.operations.deployment import ROUTER, Deployment, RouterPlan, read_deployment
    from perception_nodes.operations.endpoints import StopSignal, leave
    from perception_nodes.operations.watchdog import READY, notify, watched

    plan = Deployment(RouterPlan(listen, allow_unencrypted)) if config is None else read_deployment(config)
    stopped = False
    with StopSignal() as stop:
        while not stopped:
            identity = plan.identity_of(ROUTER)
            with _router(plan, identity) as session:
                print(json.dumps({"router": plan.router.listen, "zenoh": str(session.zid())}), flush=True)
                notify(READY)
                stopped = stop.wait(watched(_serves(identity)))
    leave(0)


def _serves(identity: Identity | None) -> Callable[[], bool]:
    """Returns whether a router has the certificate that it should have; False once there is a new one that is good."""
    if identity is None:
        return lambda: True
    opened = identity.certificate.read_bytes()

    def serves() -> bool:
        try:
            if identity.certificate.read_bytes() == opened:
                return True
            identity.check()
        except (OSError, InputError):
            return True  # it is being written, or copied here
        return False

    return serves


def _router(plan: Deployment, identity: Identity | None) -> zenoh.Session:
    from perception_nodes.operations.access import access_control, grants_of
    from perception_nodes.operations.router import open_router, open_secure_router

    if identity is None:
        return open_router(plan.router.listen, allow_unencrypted=plan.router.allow_unencrypted)
    return open_secure_router(plan.router.listen, identity, access_control(grants_of(plan)))
