"""Processes that end with the one that started them, and that end tidily."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def exit_with_parent() -> None:
    """Ends this process as soon as its parent has ended, even where that was killed by force.

    A process of `multiprocessing` waits for its parent. Any other watches its standard input, of which the parent keeps
    the other end open: the system closes that with the parent, and further processes inherit this end.
    """
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    else:
        while os.read(0, 1):
            pass
    os._exit(1)


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """SIGTERM stops the block as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
