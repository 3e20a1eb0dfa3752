"""The processes of a Ray cluster, in place of those of this host, for writing records (extra `[ray]`).

Raw data and store lie at the same paths on every host, on a file system that all of them share. A task whose process or
host is lost is begun again elsewhere: a part of a store appears whole or not at all, so nothing is left to clean up.
Tasks end with the process that started them. Ray uses pickle, and whoever reaches its ports can run code: its network
must be trusted.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from perception.errors import InputError

RETRIES = 3
"""Maximum number of times that a task whose process was lost is begun again."""
_WAITING = 4
"""Tasks that are handed over beyond one for each core, so that none waits for work, and few are lost when it stops."""

_CONNECT_S = 10.0

R = TypeVar("R")


class ClusterPool:
    """Tasks on the cluster that this process has joined."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def map(self, function: Callable[..., R], *arguments: Iterable[Any]) -> Iterator[R]:
        """Yields what a function returns for each of several arguments, in order; see `concurrent.futures`.

        Raises:
            InputError: A task was lost each time it was begun.
            Exception: Whatever the function raises.
        """
        ray = self._ray
        task = ray.remote(max_retries=RETRIES)(_call)
        most = int(ray.cluster_resources().get("CPU", 1)) + _WAITING
        left, begun = zip(*arguments, strict=True), []
        try:
            for each in left:
                begun.append(task.remote(function, *each))
                if len(begun) == most:
                    yield self._result(begun.pop(0))
            while begun:
                yield self._result(begun.pop(0))
        finally:
            for reference in begun:
                ray.cancel(reference)

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise InputError(
                f"Ray: expected a process of the cluster to end a task, lost {RETRIES + 1} of them "
                f"({type(error).__name__}), perhaps because memory ran out; run the command again, it continues"
            ) from error


@contextmanager
def cluster_pool(address: str) -> Iterator[ClusterPool]:
    """Joins a cluster for as long as the block lasts.

    Args:
        address: HOST:PORT of its head, `auto` for the one that this host belongs to, or `local` for one of this host's
            cores alone, which is started here.

    Raises:
        InputError: There is no such cluster.
    """
    import ray  # pyright: ignore[reportMissingImports]

    on_sigterm = signal.getsignal(signal.SIGTERM)
    here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if address == "local" else {}
    try:
        host, _, port = address.rpartition(":")
        if host:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), _CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, **here)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"Ray: expected a cluster at {address}: {str(error).splitlines()[0]}; start one") from error
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray puts its own handler there
    try:
        yield ClusterPool(ray)
    finally:
        ray.shutdown()


def _call(function: Callable[..., R], *arguments: Any) -> R:
    """Calls a function that was sent here; Ray takes no partial ones."""
    return function(*arguments)
