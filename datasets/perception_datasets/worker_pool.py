"""Processes that write records into a folder, hold its lock, and end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import reduction
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.processes import exit_with_parent


def check_processes(processes: int | None) -> None:
    """Raises InputError for a number of processes below 1; None stands for all cores."""
    if processes is not None and processes < 1:
        raise InputError(f"processes: expected at least 1, got {processes}; leave it out to use all cores")


@contextmanager
def worker_pool(processes: int | None, lock: int, place: Path) -> Iterator[ProcessPoolExecutor]:
    """Starts processes that keep a folder's lock open and end with this one.

    They leave signals to this process: when the block ends, however it does, they finish their task, or leave it where
    it asks `stopping`, and no further task is begun.

    Args:
        processes: Number of processes; all cores if not given.
        lock: File descriptor that holds the folder, from `perception.files.alone_in`.
        place: What they write to, for messages.

    Raises:
        InputError: One of the processes ended by force.
    """
    context = multiprocessing.get_context("spawn")
    event = context.Event()
    pool = ProcessPoolExecutor(
        processes or os.cpu_count(), context, initializer=_start, initargs=(_Descriptor(lock), event)
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise InputError(
            f"{place}: a process that was at work ended by force, perhaps because memory ran out; run the "
            "command again, with fewer --processes; it continues"
        ) from error
    finally:
        event.set()
        pool.shutdown(cancel_futures=True)


def stopping() -> bool:
    """Returns whether the process that started this one stops, and nobody waits for the outcome."""
    return _stopping is not None and _stopping.is_set()


class _Descriptor:
    """File descriptor that a started process inherits, and keeps open to its end."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple:
        return _inherited, (reduction.DupFd(self.number),)


def _inherited(duplicate: Any) -> _Descriptor:
    return _Descriptor(duplicate.detach())


def _start(lock: _Descriptor, event: Event) -> None:
    """Prepares a process of the pool; its parent tells it when to stop."""
    global _held, _stopping
    exit_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _held, _stopping = lock, event


_held: _Descriptor | None = None
_stopping: Event | None = None
