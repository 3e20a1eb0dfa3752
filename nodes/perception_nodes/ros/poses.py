"""The last poses of a localisation, for messages that need the pose at their time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Pose = TypeVar("Pose")

WITHIN_NS = 100_000_000
"""Maximum time between a message and its pose: one step of a 10 Hz stream."""
_WAIT_S = 0.02
"""Seconds to wait for a pose: trackers and localisation send at the same time, and zenoh keeps no order of topics."""
_KEPT = 100


class PoseHistory(Generic[Pose]):
    """The newest poses by their stamps; one thread adds them, another looks them up."""

    def __init__(self) -> None:
        self._poses: deque[tuple[int, Pose]] = deque(maxlen=_KEPT)
        self._posed = threading.Condition()

    def put(self, stamp_ns: int, pose: Pose) -> None:
        """Adds a pose."""
        with self._posed:
            self._poses.append((stamp_ns, pose))
            self._posed.notify_all()

    def near(self, stamp_ns: int, suits: Callable[[Pose], bool] = lambda _: True) -> Pose | None:
        """Returns the pose nearest in time among those that suit; None if none is within `WITHIN_NS`.

        Waits `_WAIT_S` for a pose that has not arrived yet.
        """
        with self._posed:
            self._posed.wait_for(lambda: self._poses and self._poses[-1][0] >= stamp_ns, _WAIT_S)
            poses = list(self._poses)
        apart = [(abs(stamped_ns - stamp_ns), pose) for stamped_ns, pose in poses if suits(pose)]
        apart_ns, pose = min(apart, key=lambda one: one[0], default=(WITHIN_NS + 1, None))
        return pose if apart_ns <= WITHIN_NS else None
