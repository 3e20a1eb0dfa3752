from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from perception_nodes.operations.watchdog import ALIVE, READY, notify, watched


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of a process manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_the_process_manager_hears_that_a_process_is_ready_and_alive_as_long_as_it_works(
    manager: socket.socket,
) -> None:
    notify(READY)
    assert manager.recv(100) == b"READY=1"
    states = iter([True, False, True])
    check = watched(lambda: next(states))
    assert [check() for _ in range(3)] == [True, False, True]
    assert [manager.recv(100), manager.recv(100)] == [b"WATCHDOG=1"] * 2
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_an_abstract_socket_is_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0perception-test-notify")
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", "@perception-test-notify")
        notify(ALIVE)
        assert listening.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("place", [None, "", "relative", "/nowhere/notify"])
def test_without_a_process_manager_nothing_happens(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if place is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", place)
    notify(READY)
    assert watched()()


def test_a_manager_that_does_not_read_holds_nobody_up(manager: socket.socket) -> None:
    for _ in range(1000):  # more than the socket's queue takes
        notify(ALIVE)
    assert manager.recv(100) == b"WATCHDOG=1"
