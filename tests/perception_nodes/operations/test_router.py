from __future__ import annotations

import queue
import socket
import time

import pytest

from perception.errors import InputError
from perception_nodes.operations.router import open_router
from perception_nodes.ros.topics import open_session


def test_two_peers_meet_through_it_and_a_second_at_its_place_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"tcp/127.0.0.1:{free.getsockname()[1]}"
    heard: queue.Queue[bytes] = queue.Queue()
    with open_router(place), open_session([place]) as one, open_session([place]) as other:
        one.declare_subscriber("word", lambda sample: heard.put(sample.payload.to_bytes()))
        end = time.monotonic() + 5
        while heard.empty() and time.monotonic() < end:
            other.put("word", b"hello")
            time.sleep(0.05)
        assert heard.get(timeout=1) == b"hello"
        with pytest.raises(InputError, match="choose another place"):
            open_router(place)
