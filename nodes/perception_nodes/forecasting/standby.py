"""When a standby answers in place of its primary: while the primary's status is not heard."""

from __future__ import annotations

import time
from collections.abc import Callable

from perception_nodes.ros.messages import FORECAST_STATUS, deserialize


class StandbyWatch:
    """Listens to the statuses of a primary, which come at least four times a second while it lives.

    Args:
        primary: Name of the primary's node.
        silence_s: Silence after which it counts as gone, seconds.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(self, primary: str, silence_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.primary = primary
        self._silence_s, self._clock = silence_s, clock
        self._heard_s = clock()  # it may have started just now too

    def take(self, cdr: bytes) -> None:
        """Takes a message of the status topic; those of others, the standby's own included, say nothing."""
        if deserialize(cdr, FORECAST_STATUS).node == self.primary:
            self._heard_s = self._clock()

    @property
    def due_s(self) -> float:
        """When the standby must answer if nothing is heard until then, on the clock."""
        return self._heard_s + self._silence_s

    def answers(self) -> bool:
        """Whether the standby must answer now."""
        return self._clock() >= self.due_s
