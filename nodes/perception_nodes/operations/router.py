"""The zenoh router that a robot's processes meet at, from the same wheel as the peers: nothing else to install."""

from __future__ import annotations

import zenoh

from perception.errors import InputError
from perception_nodes.ros.topics import zenoh_config


def open_router(listen: str = "tcp/127.0.0.1:7447") -> zenoh.Session:
    """A router on loopback unless told; it looks for nobody and runs until the session is closed."""
    try:
        return zenoh.open(zenoh_config({"mode": "router", "listen/endpoints": [listen]}))
    except zenoh.ZError as error:
        raise InputError(f"router: {listen} cannot be listened at ({error}); choose another place") from error
