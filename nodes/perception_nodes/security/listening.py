"""Where a process may listen: on loopback, beyond it with certificates, and without them only where that is allowed."""

from __future__ import annotations

import ipaddress

from perception.errors import InputError


def expect_guarded(place: str, *, guarded: bool) -> None:
    """Refuses to listen beyond loopback without a guard.

    Args:
        place: An endpoint of zenoh, such as tcp/127.0.0.1:7447, or of gRPC, such as 0.0.0.0:8001.
        guarded: Whether certificates are asked for there, or the user has allowed open access.
    """
    if not guarded and not _is_local(place):
        raise InputError(
            f"{place}: expected a place on loopback, such as 127.0.0.1: beyond it anybody may join; "
            "give certificates, or allow open access (allow_unencrypted)"
        )


def reachable(place: str) -> str:
    """Returns where processes of the same host reach a place: a listener on all addresses is on loopback too."""
    for everywhere, here in (("/0.0.0.0:", "/127.0.0.1:"), ("/[::]:", "/[::1]:")):
        place = place.replace(everywhere, here)
    return place


def host_and_port(place: str) -> tuple[str, str]:
    """Returns the two parts of a place; both are empty for a file, such as unixsock-stream//tmp/x.sock."""
    if place.startswith("unix"):
        return "", ""
    host, _, port = place.rpartition("/")[2].split("?")[0].split("#")[0].rpartition(":")
    return host.strip("[]"), port


def _is_local(place: str) -> bool:
    if place.startswith("unix"):
        return True
    host, _ = host_and_port(place)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # another name, which may mean any address
