"""The zenoh router that a robot's processes meet at, from the same wheel as the peers: nothing else to install."""

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
    """A router on loopback unless told; it looks for nobody and runs until the session is closed.

    Args:
        listen: Where.
        allow_unencrypted: Listen beyond loopback too, where anybody may join.
    """
    expect_guarded(listen, guarded=allow_unencrypted)
    return _open(listen, {})


def open_secure_router(listen: str, identity: Identity, access: Mapping[str, object]) -> zenoh.Session:
    """A router that takes in who has a certificate of its authority, and lets each do what it may.

    Args:
        listen: Such as tls/0.0.0.0:7447.
        identity: To show; its certificate must be good for a server of the name that others connect to.
        access: As `perception_nodes.operations.access.access_control` writes it.
    """
    if not listen.startswith("tls/"):
        raise InputError(f"{listen}: expected tls/HOST:PORT, since there are certificates; change the protocol")
    return _open(listen, {**identity.zenoh_settings(accepts=True), "access_control": access})


def _open(listen: str, settings: Mapping[str, object]) -> zenoh.Session:
    try:
        return zenoh.open(zenoh_config({"mode": "router", "listen/endpoints": [listen], **settings}))
    except zenoh.ZError as error:
        raise InputError(f"router: {listen} cannot be listened at ({error}); choose another place") from error
