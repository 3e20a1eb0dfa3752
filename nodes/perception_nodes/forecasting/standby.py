"""Which of two nodes on the same topics answers: a primary and its standby hear each other's statuses.

A standby answers while its primary is silent, or has no model and the standby has one. A primary without its model
leaves the answers to a standby that answers with one; so a primary that is started again costs nobody the model.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from perception_nodes.forecasting.causes import has_no_model
from perception_nodes.ros.messages import FORECAST_STATUS, deserialize, stamp_ns_of

_NEVER = float("-inf")
_REMEMBERED = 64


class PeerWatch:
    """Listens to the statuses of the other node, which come at least four times a second while it lives.

    Args:
        name: Name of the own node, whose statuses say nothing.
        primary: Name of the primary; None for a primary itself.
        silence_s: Silence after which the other counts as gone, seconds.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(
        self, name: str, primary: str | None, silence_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.primary = primary
        self._name, self._silence_s, self._clock = name, silence_s, clock
        self._primary_s = self._able_s = clock()  # it may have started just now too
        self._model_s = _NEVER
        self._answered: deque[int] = deque(maxlen=_REMEMBERED)

    def take(self, cdr: bytes) -> None:
        """Takes a message of the status topic."""
        state, now_s = deserialize(cdr, FORECAST_STATUS), self._clock()
        if not state.node or state.node == self._name:
            return
        if state.source == "model":
            self._model_s = now_s
        if state.node == self.primary:
            self._primary_s = now_s
            if not has_no_model(state.reason):
                self._able_s = now_s
            if state.valid:
                self._answered.append(stamp_ns_of(state.header))

    def has_answered(self, stamp_ns: int) -> bool:
        """Whether the primary has answered a tick."""
        return stamp_ns in self._answered.copy()

    def left_s(self, *, has_model: bool) -> float:
        """Returns for how long the other answers if nothing more is heard of it, in seconds; at most 0 if it does not.

        Args:
            has_model: Whether the own node has its model.
        """
        if self.primary is None:
            heard_s = _NEVER if has_model else self._model_s
        else:
            heard_s = self._able_s if has_model else self._primary_s
        return heard_s + self._silence_s - self._clock()
