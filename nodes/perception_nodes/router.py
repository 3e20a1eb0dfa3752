"""The zenoh router that a robot's processes meet at, from the same wheel as the peers: nothing else to install."""

from __future__ import annotations

import json

import zenoh

from perception.errors import InputError
from perception_nodes.cdr_payload import MAX_MESSAGE_BYTES


def open_router(listen: str = "tcp/127.0.0.1:7447") -> zenoh.Session:
    """A router on loopback unless told; it looks for nobody and runs until the session is closed."""
    config = zenoh.Config()
    for key, value in {
        "mode": '"router"',
        "listen/endpoints": json.dumps([listen]),
        "scouting/multicast/enabled": "false",
        "transport/link/rx/max_message_size": str(MAX_MESSAGE_BYTES),
    }.items():
        config.insert_json5(key, value)
    try:
        return zenoh.open(config)
    except zenoh.ZError as error:
        raise InputError(f"router: {listen} cannot be listened at ({error}); choose another place") from error
