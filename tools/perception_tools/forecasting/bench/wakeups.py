"""How late the machine wakes a thread that does nothing else: what no process on it can do anything about.

A process of its own sleeps until the next beat, again and again, with the priority of a node's answering thread. On a
machine that does other work a deadline is missed by at least as much.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Self

import numpy as np
from jaxtyping import Float

from perception_nodes.operations.scheduling import run_first

BEAT_S = 0.01
_START_S = 60.0


@dataclass(frozen=True)
class Wakeups:
    """When an idle thread was to wake up, and how late it did.

    Attributes:
        due_s: When it was to, ascending, on the monotonic clock.
        late_ms: How late it was.
        real_time: Whether it had a real-time priority, as a node's answering thread has where that is permitted.
    """

    due_s: Float[np.ndarray, " beats"]
    late_ms: Float[np.ndarray, " beats"]
    real_time: bool

    def worst_ms(self, begin_s: float, end_s: float) -> float:
        """Returns the largest delay of the beats that were due between two times; 0 if there was none."""
        first, last = np.searchsorted(self.due_s, [begin_s, end_s])
        return float(self.late_ms[first:last].max(initial=0.0))


class Metronome:
    """Measures wake-ups in a process of its own from `with` on, until `stop`."""

    def __enter__(self) -> Self:
        context = get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_beat, args=(there,), daemon=True)
        self._process.start()
        if not self._here.poll(_START_S):
            raise TimeoutError(f"expected the process that measures wake-ups to start within {_START_S:g} s")
        self._real_time: bool = self._here.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._here.close()

    def stop(self) -> Wakeups:
        """Returns what was measured."""
        self._here.send(None)
        due_s, late_ms = self._here.recv()
        return Wakeups(np.array(due_s), np.array(late_ms), self._real_time)


def _beat(there: Connection) -> None:
    due, late = array("d"), array("d")
    there.send(not run_first())
    due_s = time.monotonic() + BEAT_S
    while not there.poll():
        time.sleep(max(0.0, due_s - time.monotonic()))
        now_s = time.monotonic()
        due.append(due_s)
        late.append(1e3 * (now_s - due_s))
        due_s = max(due_s + BEAT_S, now_s)  # a pause is one late beat, not many
    there.recv()
    there.send((due, late))
