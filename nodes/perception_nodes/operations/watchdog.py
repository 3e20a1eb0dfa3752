"""What systemd is told about a process: that it is ready, and that it still works.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

READY, ALIVE = "READY=1", "WATCHDOG=1"


def notify(state: str) -> None:
    """Sends a state to the process manager; does nothing where it has not asked for one.

    Args:
        state: `READY` once the process answers; `ALIVE` at least twice per WatchdogSec of its unit.
    """
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    address = f"\0{place[1:]}" if place.startswith("@") else place
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)  # a process must not wait for its watchdog
        sender.sendto(state.encode(), address)


def watched(healthy: Callable[[], bool] = lambda: True) -> Callable[[], bool]:
    """Returns the same check, which also tells the watchdog whenever it holds.

    Args:
        healthy: Whether the process makes progress. The check is to be called regularly by a loop that must not stop.
    """

    def check() -> bool:
        well = healthy()
        if well:
            notify(ALIVE)
        return well

    return check
