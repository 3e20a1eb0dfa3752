"""The last poses of a localisation, for messages that need the pose at their time."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Pose = TypeVar("Pose")

WITHIN_NS = 100_000_000
"""Maximum time between a message and its pose: one step of a 10 Hz stream."""
KEPT_NS = 2_000_000_000
"""Poses are kept for this long before the newest, whatever their rate."""
LONGEST_PAUSE_NS = 10_000_000_000
"""A localisation may be silent for this long."""
WAIT_S = 0.02
"""Seconds to wait for a pose: trackers and localisation send at the same time, and zenoh keeps no order of topics."""
_MOST = 10_000
"""Maximum number of poses: a sender may repeat a stamp without end."""
_CLOCK_STEP_POSES = 3
"""Number of poses in a row that continue each other, but not the history, after which the clock counts as set."""


@dataclass(frozen=True)
class Stamped(Generic[Pose]):
    """A pose and its time."""

    stamp_ns: int
    pose: Pose


class PoseHistory(Generic[Pose]):
    """The poses of the last `KEPT_NS` by their stamps; one thread adds them, others look them up.

    A pose that is older than the history, or newer by more than `LONGEST_PAUSE_NS`, is a stray, unless
    `_CLOCK_STEP_POSES` in a row are: then the clock was set, and the history starts anew with them.
    """

    def __init__(self) -> None:
        self._poses: list[Stamped[Pose]] = []
        self._strays: list[Stamped[Pose]] = []
        self._posed = threading.Condition()

    def put(self, stamp_ns: int, pose: Pose) -> None:
        """Adds a pose."""
        stamped = Stamped(stamp_ns, pose)
        with self._posed:
            if not self._poses or -KEPT_NS <= stamp_ns - self._poses[-1].stamp_ns <= LONGEST_PAUSE_NS:
                self._poses.insert(bisect_right(self._poses, stamp_ns, key=_time_of), stamped)
                self._strays.clear()
            else:
                follows = self._strays and 0 <= stamp_ns - self._strays[-1].stamp_ns <= KEPT_NS
                self._strays = [*self._strays, stamped] if follows else [stamped]
                if len(self._strays) == _CLOCK_STEP_POSES:
                    self._poses, self._strays = self._strays, []
            begin = bisect_left(self._poses, self._poses[-1].stamp_ns - KEPT_NS, key=_time_of)
            del self._poses[: max(begin, len(self._poses) - _MOST)]
            self._posed.notify_all()

    def around(self, stamp_ns: int, until_s: float) -> tuple[Stamped[Pose] | None, Stamped[Pose] | None]:
        """Returns the last pose at or before a time, and the first one after; None where there is none.

        Args:
            stamp_ns: The time.
            until_s: Until when to wait for a pose that is not older, on the monotonic clock.
        """
        with self._posed:
            self._wait_for(stamp_ns, until_s)
            after = bisect_right(self._poses, stamp_ns, key=_time_of)
            return (
                self._poses[after - 1] if after else None,
                self._poses[after] if after < len(self._poses) else None,
            )

    def _wait_for(self, stamp_ns: int, until_s: float) -> None:
        """Waits for a pose that is not older, with the lock held."""
        left_s = until_s - time.monotonic()
        self._posed.wait_for(lambda: self._poses and self._poses[-1].stamp_ns >= stamp_ns, max(0.0, left_s))


def _time_of(stamped: Stamped[Any]) -> int:
    return stamped.stamp_ns
