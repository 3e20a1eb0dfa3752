"""What would keep a deployment's processes from working: ports, topics and certificates, each finding as a sentence."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator

from perception.errors import InputError
from perception_nodes.operations.deployment import FOXGLOVE, ROUTER, Deployment
from perception_nodes.ros.wire import Topic
from perception_nodes.security.listening import host_and_port

LOOPBACK = "127.0.0.1"


def findings(deployment: Deployment, *, runs: bool = False) -> list[str]:
    """Returns what is wrong with a deployment on this host, all at once; its files are not looked into.

    Args:
        deployment: What is to run.
        runs: Whether it runs already, so that its ports are in use.
    """
    found = [*_ports(deployment, runs), *_topics(deployment), *_services(deployment), *_certificates(deployment)]
    return list(dict.fromkeys(found))


def _ports(deployment: Deployment, runs: bool) -> Iterator[str]:
    """Ports that are none, that two processes want, or that another program has."""
    wanted = defaultdict(list)
    for what, host, port in _places(deployment):
        if not (port.isdecimal() and int(port) < 2**16):
            yield f"{what}: expected a port from 0 to 65535, got {port!r}; choose another"
        elif what == ROUTER and int(port) == 0:
            yield f"{what}: expected a port that the others can know, got 0; choose one, such as 7447"
        elif int(port) > 0:
            wanted[int(port)].append((what, host))
    for port, claims in wanted.items():
        names = ", ".join(what for what, _ in claims)
        if len(claims) > 1:
            yield f"port {port}: expected one process there, found {names}; give each its own"
        elif not runs and (reason := _taken(claims[0][1], port)):
            yield f"port {port}: expected it to be free for {names}, found that it is not ({reason}); choose another"


def _places(deployment: Deployment) -> Iterator[tuple[str, str, str]]:
    """Yields what listens, on which host, at which port."""
    host, port = host_and_port(deployment.router.listen)
    if not deployment.router.listen.startswith("unix"):
        yield ROUTER, host, port
    plans = {f"node {name}": node.metrics for name, node in deployment.nodes.items()}
    if deployment.foxglove is not None:
        yield FOXGLOVE, LOOPBACK, str(deployment.foxglove.port)
        plans[FOXGLOVE] = deployment.foxglove.metrics
    for name, metrics in plans.items():
        if metrics is not None:
            yield f"{name}: metrics", LOOPBACK, str(metrics)


def _taken(host: str, port: int) -> str:
    """Returns why nobody can listen there; empty if somebody can."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _topics(deployment: Deployment) -> Iterator[str]:
    """Topics that two processes publish, one of them ours, or that are read as another type than they are written."""
    writers, readers = _by_name(deployment, "outputs"), _by_name(deployment, "inputs")
    for name, other in deployment.security.others.items() if deployment.security else ():
        for topic in other.publishes:
            if (other.domain, topic) in writers:
                writers[other.domain, topic].append((name, None))
    for (domain, topic), sources in writers.items():
        where = f"topic {topic}" + (f" of domain {domain}" if domain else "")
        standbys = [name for name, _ in sources if name in deployment.nodes and deployment.nodes[name].stands_by]
        if len(sources) - len(standbys) > 1:
            names = ", ".join(name for name, _ in sources)
            yield f"{where}: expected one process to publish it, found {names}; give each a topic of its own"
        written = sources[0][1]
        for reader, read in readers.get((domain, topic), ()):
            if read != written:
                yield f"{where}: {reader} expects {read}, but {sources[0][0]} publishes {written}; rename one"


def _services(deployment: Deployment) -> Iterator[str]:
    for (_, service), answering in _by_name(deployment, "services").items():
        if len(answering) > 1:
            names = ", ".join(name for name, _ in answering)
            yield f"service {service}: expected one node to answer it, found {names}; give each one of its own"


def _by_name(deployment: Deployment, kind: str) -> dict[tuple[int, str], list[tuple[str, str | None]]]:
    """Returns the nodes, each with the type, by the domain and name of their inputs, outputs or services."""
    found: dict[tuple[int, str], list[tuple[str, str | None]]] = defaultdict(list)
    for name, node in deployment.nodes.items():
        topics: Iterable[Topic] = getattr(node, kind)
        for topic in topics:
            found[node.domain, topic.name].append((name, topic.type))
    return found


def _certificates(deployment: Deployment) -> Iterator[str]:
    """Certificates that are missing, damaged, expired, not signed by the authority, or of another name."""
    for name in deployment.own_names if deployment.security else ():
        try:
            identity = deployment.identity_of(name)
            if name == ROUTER and identity is not None:
                identity.expect_server_of(host_and_port(deployment.router.place)[0])
        except InputError as error:
            yield str(error)
