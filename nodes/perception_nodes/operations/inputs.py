"""The queue of each input of a node, with its policy for messages that come faster than they are used."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from perception.errors import InputError

T = TypeVar("T")
Policy = Literal["latest", "fifo"]


class Input(Generic[T]):
    """A bounded queue between the transport's thread and the node's.

    Args:
        policy: `latest` drops the oldest message when the queue is full, so that a node works on the present. `fifo`
            makes the sender wait, so that a replay loses nothing.
        size: Maximum number of messages that wait.
        deadline_s: A message that waited longer is dropped, seconds.
        clock: Returns a monotonic time in seconds.

    Attributes:
        dropped: Number of messages dropped so far.
    """

    def __init__(
        self,
        policy: Policy = "latest",
        size: int = 1,
        deadline_s: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if size < 1 or not deadline_s > 0:
            raise InputError(f"input: expected a size of at least 1 and a deadline above 0, got {size}, {deadline_s}")
        self.dropped = 0
        self._policy: Policy = policy
        self._size, self._deadline_s, self._clock = size, deadline_s, clock
        self._waiting: deque[tuple[float, T]] = deque()
        self._closed = False
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """Number of messages that wait."""
        return len(self._waiting)

    def put(self, message: T) -> None:
        """Queues a message; after `close` it is dropped."""
        with self._changed:
            while len(self._waiting) >= self._size and not self._closed:
                if self._policy == "latest":
                    self._waiting.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._closed:
                self.dropped += 1
                return
            self._waiting.append((self._clock(), message))
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> T | None:
        """Returns the oldest message within its deadline; None if none comes, or the input is closed and empty."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while True:
                while self._waiting:
                    arrived, message = self._waiting.popleft()
                    self._changed.notify_all()
                    if self._clock() - arrived <= self._deadline_s:
                        return message
                    self.dropped += 1
                left = None if end is None else end - time.monotonic()
                if self._closed or (left is not None and left <= 0):
                    return None
                self._changed.wait(left)

    def close(self) -> None:
        """Ends all waits and drops later messages; those in the queue can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
