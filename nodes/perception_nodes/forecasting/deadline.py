"""Answers a tick by its deadline: with the model if that is in time, else with what was prepared without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.causes import LATE
from perception_nodes.forecasting.messages import predicted_objects_of
from perception_nodes.forecasting.model_runner import ForecastRunner
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.pending_tick import PendingTick
from perception_nodes.ros.cdr import write_predicted_objects

PREPARED_S = 0.02
"""So long before the deadline an answer without the model is written, to be sent if the model does not answer. That
takes 3 ms, and on a busy machine up to 20 (measured)."""
SENT_S = 0.002
"""So long before the deadline it is sent: that takes 0.1 ms, and up to 3 while others compute."""


@dataclass(frozen=True)
class KeptTick:
    """A tick to answer.

    Attributes:
        pending: The tick.
        frame_id: Frame of its objects.
        at_s: When it came, on the monotonic clock.
    """

    pending: PendingTick
    frame_id: str
    at_s: float


@dataclass(frozen=True)
class WrittenAnswer:
    """An answer and its message.

    Attributes:
        result: The answer.
        cdr: Its predicted objects; empty where it is not valid.
    """

    result: ForecastResult
    cdr: bytes | bytearray


class DeadlineAnswers:
    """Answers ticks of a node whose model runs in a thread of its own.

    Args:
        node: The node.
        runner: Runs its model.
        deadline_ms: Time from a tick's arrival to its answer, for the reason of answers without the model.
    """

    def __init__(self, node: ForecastingNode, runner: ForecastRunner, deadline_ms: float) -> None:
        self._node, self._runner = node, runner
        self._late = f"{LATE} {deadline_ms:g} ms"

    def answer(self, kept: KeptTick, until_s: float) -> WrittenAnswer:
        """Asks the model about a tick if there is something to ask, and waits for it.

        Args:
            kept: The tick.
            until_s: The deadline, on the monotonic clock.
        """
        pending = kept.pending
        if pending.question is None:
            return _written(self._node.finish(pending), kept)
        asked, prepared = self._runner.ask(pending.question), None
        if not self._runner.wait(asked, until_s - PREPARED_S):
            prepared = _written(self._node.finish(pending, None, self._late), kept)
            self._runner.wait(asked, until_s - SENT_S)
        if prepared is not None and not self._runner.give_up(asked):
            return prepared
        result = self._node.finish(pending, asked.answer, asked.reason)
        if prepared is not None:  # which has counted the ticks
            result = replace(result, dropped_since_last=prepared.result.dropped_since_last)
        return _written(result, kept)


def _written(result: ForecastResult, kept: KeptTick) -> WrittenAnswer:
    valid = result.valid
    return WrittenAnswer(
        result, write_predicted_objects(predicted_objects_of(result, frame_id=kept.frame_id)) if valid else b""
    )
