from __future__ import annotations

import pytest

from perception.errors import InputError
from perception_nodes.security.listening import expect_guarded, reachable


@pytest.mark.parametrize(
    "place",
    [
        "tcp/127.0.0.1:7447",
        "tcp/127.8.9.1:0",
        "tcp/localhost:7447",
        "tcp/[::1]:7447#iface=lo",
        "127.0.0.1:8001",
        "localhost:0",
        "[::1]:1",
        "unixsock-stream//tmp/x.sock",
    ],
)
def test_loopback_needs_no_guard(place: str) -> None:
    expect_guarded(place, guarded=False)


@pytest.mark.parametrize(
    "place",
    [
        "tcp/0.0.0.0:7447",
        "tcp/[::]:7447",
        "tcp/robot:7447",
        "udp/10.0.0.1:7?rel=0",
        "0.0.0.0:8001",
        "[::]:1",
        "",
        "tcp",
    ],
)
def test_a_place_beyond_loopback_must_be_guarded(place: str) -> None:
    with pytest.raises(InputError, match="expected a place on loopback"):
        expect_guarded(place, guarded=False)
    expect_guarded(place, guarded=True)


@pytest.mark.parametrize(
    ("listen", "connect"),
    [
        ("tls/0.0.0.0:7447", "tls/127.0.0.1:7447"),
        ("tcp/[::]:7447", "tcp/[::1]:7447"),
        ("tls/10.0.0.1:7447", "tls/10.0.0.1:7447"),
    ],
)
def test_a_listener_on_all_addresses_is_reached_on_loopback(listen: str, connect: str) -> None:
    assert reachable(listen) == connect
