"""The zenoh router that a robot's processes meet at. It comes with the same wheel as the peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import zenoh

from perception.errors import InputError
from perception_nodes.ros.topics import zenoh_config
from perception_nodes.security.listening import expect_guarded

if TYPE_CHECKING:
    from perception_nodes.security.identity import Identity


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


def _open(listen: str, settings: Mapping[str, object]) -> zenoh.Session:
    try:
        return zenoh.open(zenoh_config({"mode": "router", "listen/endpoints": [listen], **settings}))
    except zenoh.ZError as error:
        raise InputError(f"router: {listen} cannot be listened at ({error}); choose another place") from error
