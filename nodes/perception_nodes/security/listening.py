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


def _is_local(place: str) -> bool:
    protocol, _, address = place.rpartition("/") if not place.startswith("unix") else ("unix", "", "")
    if protocol == "unix":
        return True
    host = address.split("?")[0].split("#")[0].rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # another name, which may mean any address
