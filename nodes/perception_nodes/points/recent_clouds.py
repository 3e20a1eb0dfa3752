"""The last few clouds, for boxes that come later: the messages, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import deque

MAX_CLOUDS = 8
MAX_BYTES = 128 * 2**20


class RecentClouds:
    """Keeps messages by their stamps, at most `MAX_CLOUDS` and, but for the last, `MAX_BYTES` of them."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=MAX_CLOUDS)
        self._changed = threading.Condition()

    def put(self, stamp_ns: int, cdr: bytes) -> None:
        """Keeps a message."""
        with self._changed:
            self._kept.append((stamp_ns, cdr))
            while len(self._kept) > 1 and sum(len(kept) for _, kept in self._kept) > MAX_BYTES:
                self._kept.popleft()
            self._changed.notify_all()

    def nearest(self, stamp_ns: int, within_ns: int, wait_s: float = 0.0) -> bytes | None:
        """Returns the message with the nearest stamp, the later of equally near ones; None if none is near enough.

        Args:
            stamp_ns: The time.
            within_ns: Largest difference.
            wait_s: How long to wait for one that is near enough.
        """
        end_s = time.monotonic() + wait_s
        with self._changed:
            while True:
                near = [(abs(at_ns - stamp_ns), -at_ns, cdr) for at_ns, cdr in self._kept]
                apart_ns, _, cdr = min(near, key=lambda one: one[:2], default=(within_ns + 1, 0, b""))
                if apart_ns <= within_ns:
                    return cdr
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    return None
                self._changed.wait(left_s)
