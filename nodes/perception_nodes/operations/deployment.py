"""What runs on a robot, as one YAML file says it: a router, the shared block's workers, the nodes, a live view.

    router:
      listen: tcp/127.0.0.1:7447
    service:
      folder: folded/int8
    nodes:
      ego:
        kind: forecast
        checkpoint: runs/llama
        block: forecast-vectornet-llama

Relative paths are relative to the file. nodes/README.md lists all keys; nodes/examples/ has further files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from perception.errors import InputError
from perception_nodes.block.limits import DEFAULT_LIMITS
from perception_nodes.kinds import KINDS
from perception_nodes.operations.configuration import Choice, read_yaml
from perception_nodes.operations.former_deployment import add_kinds
from perception_nodes.operations.node_plan import EXAMPLE, NodePlan, expect_positive, plan_type
from perception_nodes.ros.wire import expect_name
from perception_nodes.security.listening import expect_guarded, reachable

if TYPE_CHECKING:
    from perception_nodes.security.identity import Identity


MAX_WORKERS = 64
"""Maximum number of processes that share a block."""


@dataclass(frozen=True)
class RouterPlan:
    """The zenoh router that all processes meet at.

    Attributes:
        listen: Where it listens; tls/HOST:PORT where there is `security`.
        allow_unencrypted: Listens beyond loopback without `security`, where anybody may join.
    """

    listen: str = "tcp/127.0.0.1:7447"
    allow_unencrypted: bool = False

    @property
    def place(self) -> str:
        """Where processes of the same host find it."""
        return reachable(self.listen)


@dataclass(frozen=True)
class OtherPlan:
    """A process that is not ours, such as a tracker: what it may do on the network.

    Attributes:
        domain: ROS_DOMAIN_ID.
        publishes: Names of the topics that it may publish.
        subscribes: Names of the topics that it may subscribe to.
        asks: Names of the services that it may call.
    """

    domain: int = 0
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*self.publishes, *self.subscribes, *self.asks):
            expect_name(name)


@dataclass(frozen=True)
class SecurityPlan:
    """A certificate for every process, and for each the rights that its part of the file needs.

    Attributes:
        certificates: Folder of ca.pem, and of NAME.pem and NAME.key of each process: router, block0, block1, …, and
            the nodes and others by their names. `perception certificates` makes what is missing.
        others: Processes that are not ours, each by its name.
    """

    certificates: Path = field(metadata={EXAMPLE: "certificates"})
    others: Mapping[str, OtherPlan] = field(default_factory=dict)


@dataclass(frozen=True)
class ServicePlan:
    """The workers of the shared block.

    Attributes:
        folder: Folder of folded pipelines, written by `perception block fold`.
        pipelines: Names of the pipelines to serve; all of the folder where the list is empty.
        workers: Number of processes.
        threads: Number of threads that compute in each.
        backend: What computes the block's tail, which all pipelines share. All but torch take a folder in float32, and
            export the tail into it, once.
        precision: Precision of the tail's weights in that backend.
        provider: Device of that backend, in its own words; the processor unless told.
        max_request_mb: Maximum memory that computing a request takes, MiB; larger ones are refused.
        max_request_gflop: Maximum work of a request, 10⁹ multiplications and additions; larger ones are refused.
    """

    folder: Path = field(metadata={EXAMPLE: "folded/int8"})
    pipelines: tuple[str, ...] = ()
    workers: int = 1
    threads: int = 1
    backend: Literal["torch", "onnxruntime", "openvino"] = "torch"
    precision: Literal["float32", "bf16", "fp16", "int8", "int4"] = "float32"
    provider: str | None = None
    max_request_mb: int = DEFAULT_LIMITS.max_memory_mb
    max_request_gflop: int = DEFAULT_LIMITS.max_gflop

    def __post_init__(self) -> None:
        expect_positive(
            "service",
            workers=self.workers,
            threads=self.threads,
            max_request_mb=self.max_request_mb,
            max_request_gflop=self.max_request_gflop,
        )
        if self.backend == "torch" and (self.precision != "float32" or self.provider is not None):
            raise InputError(
                "service: precision and provider are of another backend than torch; add backend: onnxruntime"
            )
        if self.workers > MAX_WORKERS:
            raise InputError(f"service: expected at most {MAX_WORKERS} workers, got {self.workers}; give fewer")

    @property
    def names(self) -> list[str]:
        """Names of the processes."""
        return [f"block{number}" for number in range(self.workers)]


@dataclass(frozen=True)
class FoxglovePlan:
    """A process that shows the nodes' topics live in Foxglove's app; on loopback, since the app may see everything.

    Attributes:
        port: Port of the WebSocket; 0 chooses a free one, which the process prints.
        domain: ROS_DOMAIN_ID of the nodes that are shown.
        metrics: Port of /livez, /readyz and /metrics on loopback; 0 chooses a free one, null serves none.
    """

    port: int = 8765
    domain: int = 0
    metrics: int | None = None


ROUTER, FOXGLOVE = "router", "foxglove"


@dataclass(frozen=True)
class Deployment:
    """All processes of a robot.

    Attributes:
        router: The zenoh router that all processes meet at.
        service: The workers of the shared block; null runs none.
        nodes: The nodes, each by its name.
        foxglove: The live view in Foxglove's app; null shows nothing.
        security: Certificates and rights; without them everything stays on loopback.
    """

    router: RouterPlan = RouterPlan()
    service: ServicePlan | None = None
    nodes: Mapping[str, NodePlan] = field(default_factory=dict)
    foxglove: FoxglovePlan | None = None
    security: SecurityPlan | None = None

    def __post_init__(self) -> None:
        if wrong := [*self._wrong_nodes(), *self._wrong_router(), *self._wrong_names()]:
            raise InputError("\n".join(wrong))

    @property
    def own_names(self) -> list[str]:
        """Names of our processes, as their certificates have them; the router first."""
        shows = [FOXGLOVE] if self.foxglove else []
        return [ROUTER, *(self.service.names if self.service else ()), *self.nodes, *shows]

    @property
    def names(self) -> list[str]:
        """Names of all processes."""
        return [*self.own_names, *(self.security.others if self.security else ())]

    def nodes_of(self, kind: str) -> dict[str, NodePlan]:
        """Returns the nodes of a kind, each by its name."""
        return {name: node for name, node in self.nodes.items() if node.kind == kind}

    def identity_of(self, name: str) -> Identity | None:
        """Returns the certificate and key of a process; None where there is no security.

        Raises:
            InputError: A file is missing, or cannot be used.
        """
        if self.security is None:
            return None
        from perception_nodes.security.identity import identity_in

        return identity_in(self.security.certificates, name)

    def _wrong_nodes(self) -> Iterator[str]:
        for name, node in self.nodes.items():
            if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
                yield f"node {name!r}: expected a ROS name of letters, digits and underscores; rename it"
            if node.stands_by is not None and (wrong := self._wrong_standby(name, node.stands_by)):
                yield wrong
            if node.block is None:
                continue
            if self.service is None:
                yield f"node {name}: asks for the block {node.block}, but there is no service; add one"
            elif self.service.pipelines and node.block not in self.service.pipelines:
                served = ", ".join(self.service.pipelines)
                yield f"node {name}: asks for the block {node.block}, the service has {served}; name one"

    def _wrong_standby(self, name: str, primary: str) -> str:
        """Returns why a node cannot stand by for another; empty if it can."""
        node, other = self.nodes[name], self.nodes.get(primary)
        if other is None or other is node or other.kind != node.kind:
            fit = [one for one, plan in self.nodes.items() if plan.kind == node.kind and one != name]
            return f"node {name}: expected standby_of to name another {node.kind} node, got {primary}; there is " + (
                ", ".join(fit) or "none"
            )
        if other.stands_by is not None:
            return f"node {name}: expected standby_of to name no standby, {primary} is one; name another"
        if [node.domain, *node.outputs] != [other.domain, *other.outputs]:
            return f"node {name}: expected the domain and outputs of {primary}, which it stands by for; make them alike"
        return ""

    def _wrong_router(self) -> Iterator[str]:
        listen = self.router.listen
        if self.security is not None:
            if not listen.startswith("tls/"):
                yield f"router: expected listen: tls/HOST:PORT, since there is security, got {listen}; change it"
            return
        try:
            expect_guarded(listen, guarded=self.router.allow_unencrypted)
        except InputError as error:
            yield str(error)

    def _wrong_names(self) -> Iterator[str]:
        if self.security is not None:
            from perception_nodes.security.identity import AUTHORITY

            for name in self.security.others:
                if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
                    yield f"{name!r}: expected a name of letters, digits, dots, hyphens, underscores; rename it"
            if AUTHORITY in self.names:
                yield f"{AUTHORITY}: expected another name, since {AUTHORITY}.pem is the authority's; rename it"
        for name, count in Counter(self.names).items():
            if count > 1:
                yield f"{name}: two processes have this name, expected each to have its own; rename one"


def read_deployment(path: Path) -> Deployment:
    """Returns the deployment in a file; reads files of the former version too.

    Raises:
        ConfigurationError: The file has a mistake; the message says its line.
    """
    kinds = Choice("kind", {kind: partial(plan_type, kind) for kind in KINDS})
    return read_yaml(path, Deployment, choices={NodePlan: kinds}, amend=partial(add_kinds, path))
