"""How commands that are no nodes join a robot's topics: as one more process of its router."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from perception.errors import InputError

if TYPE_CHECKING:
    import zenoh

ROUTER = "tcp/127.0.0.1:7447"
"""Where a deployment's router listens by default."""


@contextmanager
def joined(connect: str | None, config: Path | None, name: str) -> Iterator[zenoh.Session]:
    """Opens a session at a router.

    Args:
        connect: Endpoint of the router; by default that of the deployment, or `ROUTER` without one.
        config: A deployment's file. Where it has `security`, the session shows the certificate of `name`.
        name: Name of this process, one of `others` in the deployment's `security`.

    Raises:
        InputError: Nothing listens there, or the router does not accept the certificate.
    """
    from perception_nodes.operations.deployment import Deployment, read_deployment
    from perception_nodes.operations.router import router_answers
    from perception_nodes.ros.topics import NoRouter, open_secure_session, open_session

    deployment = Deployment() if config is None else read_deployment(config)
    place = connect or (ROUTER if config is None else deployment.router.place)
    identity = None if deployment.security is None else deployment.identity_of(name)
    if not place.startswith("unix") and not router_answers(place):
        raise InputError(
            f"{place}: expected a router, found nobody who listens; start `perception up` or "
            "`perception serve router`, or give --connect"
        )
    try:
        with open_session([place]) if identity is None else open_secure_session(place, identity) as session:
            yield session
    except NoRouter as error:
        raise InputError(str(error)) from error
