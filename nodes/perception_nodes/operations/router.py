"""The zenoh router that a robot's processes meet at, from the same wheel as the peers, and how they join it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

import zenoh

from perception.errors import InputError
from perception_nodes.operations.endpoints import StopSignal
from perception_nodes.ros.topics import NoRouter, open_secure_session, zenoh_config
from perception_nodes.security.listening import expect_guarded, host_and_port

if TYPE_CHECKING:
    from perception_nodes.security.identity import Identity

ATTEMPTS = 5
"""A router that refuses a certificate this many times is not only busy."""
_CONNECT_S = 2.0

_log = logging.getLogger(__name__)


def open_router(listen: str = "tcp/127.0.0.1:7447", *, allow_unencrypted: bool = False) -> zenoh.Session:
    """Opens a router, by default on loopback; it runs until the session is closed.

    Args:
        listen: Endpoint to listen at.
        allow_unencrypted: Listens beyond loopback too, where anybody may join.
    """
    expect_guarded(listen, guarded=allow_unencrypted)
    return _open(listen, {})


def open_secure_router(listen: str, identity: Identity, access: Mapping[str, object]) -> zenoh.Session:
    """Opens a router that admits processes with a certificate of its authority, with the rights that each has.

    Args:
        listen: Endpoint to listen at, such as tls/0.0.0.0:7447.
        identity: Identity of the router; its certificate must be valid for a server of the name that others connect to.
        access: Rules from `perception_nodes.operations.access.access_control`.
    """
    if not listen.startswith("tls/"):
        raise InputError(f"{listen}: expected tls/HOST:PORT, since there are certificates; change the protocol")
    return _open(listen, {**identity.zenoh_settings(accepts=True), "access_control": access})


def router_answers(place: str) -> bool:
    """Returns whether something accepts connections at a router's endpoint, such as tls/127.0.0.1:7447."""
    host, port = host_and_port(place)
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


def join_router(place: str, identity: Identity, stop: StopSignal) -> zenoh.Session | None:
    """Opens a client of a router that asks for certificates; waits until the router is there.

    A process may start before its router. So only a router that is there and does not accept the certificate, several
    times in a row, is an error.

    Args:
        place: Endpoint of the router.
        identity: Identity to show to it.
        stop: Ends the wait.

    Returns:
        The session; None after the signal.

    Raises:
        InputError: The router does not accept the certificate, or has one of another authority.
    """
    for attempt in range(1, ATTEMPTS + 1):
        if not router_answers(place):
            _log.info("waiting for the router at %s", place)
        if stop.wait(lambda: not router_answers(place)):
            return None
        try:
            return open_secure_session(place, identity)
        except NoRouter as error:
            if attempt == ATTEMPTS:
                raise InputError(str(error)) from error
    return None


def _open(listen: str, settings: Mapping[str, object]) -> zenoh.Session:
    try:
        return zenoh.open(zenoh_config({"mode": "router", "listen/endpoints": [listen], **settings}))
    except zenoh.ZError as error:
        raise InputError(f"router: {listen} cannot be listened at ({error}); choose another place") from error
