"""Logs failures that may come by the thousand, as from a sender of malformed messages, in few lines."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from perception.errors import InputError

LINES = 5
"""Maximum number of lines of one subject in each `WINDOW_S`."""
WINDOW_S = 60.0
_LONGEST = 500
"""Maximum length of an error's text in a line; it may quote the message that it is about."""
_FORESEEN = (InputError, ConnectionError, TimeoutError)
"""Errors whose message says all; others come with their traceback."""


@dataclass
class _Window:
    begin_s: float
    failures: int = 0


class FailureLog:
    """Counts and logs failures by subject, such as a topic: a line each, and at most `LINES` in `WINDOW_S`.

    The first line of the next window says how many were left out. Thread-safe.

    Args:
        logger: Where the lines go.
        clock: Returns a monotonic time in seconds.

    Attributes:
        counts: Number of failures by subject, since the start.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._logger, self._clock = logger, clock
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def add(self, subject: str, error: Exception, count: int = 1) -> bool:
        """Counts a failure, or `count` of them; logs it, with its traceback if nobody foresaw it.

        Returns:
            Whether it was logged.
        """
        foreseen = isinstance(error, _FORESEEN)
        text = str(error) if foreseen else f"{type(error).__name__}: {error}"
        line = " ".join(text[:_LONGEST].split())
        left_out = self._count(subject, count)
        if left_out is None:
            return False
        more = f" ({left_out} more were left out of the log)" if left_out else ""
        level = logging.WARNING if foreseen else logging.ERROR
        self._logger.log(level, "%s: %s%s", subject, line, more, exc_info=None if foreseen else error)
        return True

    def _count(self, subject: str, count: int) -> int | None:
        """Returns how many lines were left out in the window before; None if this one is left out."""
        now_s = self._clock()
        with self._lock:
            self.counts[subject] += count
            window = self._windows.get(subject)
            left_out = 0
            if window is None or now_s - window.begin_s >= WINDOW_S:
                left_out = 0 if window is None else max(0, window.failures - LINES)
                window = self._windows[subject] = _Window(now_s)
            window.failures += 1
            return left_out if window.failures <= LINES else None
