"""What became of a node's ticks, the messages that it answers: counted by source and cause, judged, and logged."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

from perception.errors import InputError
from perception_nodes.failure_log import FailureLog
from perception_nodes.operations.diagnostics import Level, Status

MODEL, NONE = "model", "none"
"""Sources of an answer that every kind of node has: its model, or none, where there is no answer."""
_MOST = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AccountWords:
    """The words of a kind of node for what becomes of its ticks.

    Attributes:
        name: What the node does, such as `forecast`.
        causes: Words for reasons why a tick is not answered by the model: labels of its metric.
        cause_of: Function from a reason to its word; empty for no reason.
        waiting: Reason before the first tick.
        sources: Sources of its answers.
        window_s: Diagnostics judge the answers of this many last seconds.
    """

    name: str
    causes: tuple[str, ...]
    cause_of: Callable[[str], str]
    waiting: str
    sources: tuple[str, ...] = (MODEL, NONE)
    window_s: float = 1.0


class _NotByModel(InputError):
    """Ticks are not answered by the model; the message says why."""


class TickAccount:
    """Takes the outcome of every tick.

    Args:
        registry: Registry of its metrics.
        failures: Where the log's lines are bounded.
        words: The words of the kind of node.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        failures: FailureLog,
        words: AccountWords,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures, self._words, self._clock = failures, words, clock
        self._recent: deque[tuple[float, str]] = deque(maxlen=_MOST)
        self._source, self._reason, self._cause, self._lasts, self._told = "", words.waiting, "", 0, False
        buckets = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.085, 0.1, 0.2, 0.5)
        name = "perception_latency_seconds"
        self._latency = Histogram(name, "From receipt to publication", registry=registry, buckets=buckets)
        self._answered = Counter("perception_frames_answered", "Valid answers", registry=registry)
        self._refused = Counter("perception_frames_refused", "Ticks without a valid answer", registry=registry)
        name = "perception_ticks"
        self._sources = Counter(name, "Ticks by the source of their answer", ["source"], registry=registry)
        name = "perception_ticks_without_model"
        self._causes = Counter(name, "Ticks that the model did not answer", ["reason"], registry=registry)
        for source in words.sources:
            self._sources.labels(source)
        for cause in words.causes:
            self._causes.labels(cause)

    @property
    def reason(self) -> str:
        """Why the last tick has no valid answer, or none came; empty if it has one."""
        return "" if self._source not in ("", NONE) else self._reason

    def observe(self, source: str, reason: str, latency_ms: float | None = None) -> None:
        """Takes what became of a tick, before it is published, so that whoever gets it finds it counted.

        Args:
            source: One of the kind's sources.
            reason: Why it is not `model`.
            latency_ms: Time of a valid answer, from receipt.
        """
        cause = self._words.cause_of(reason)
        self._sources.labels(source).inc()
        if cause:
            self._causes.labels(cause).inc()
        if source == NONE:
            self._refused.inc()
        else:
            self._answered.inc()
        if latency_ms is not None:
            self._latency.observe(latency_ms / 1e3)
        self._note(source, reason, cause)

    def silent(self, reason: str) -> None:
        """Takes that no messages come, which is not a tick."""
        self._note(NONE, reason, self._words.cause_of(reason))

    def status(self) -> Status:
        """Returns the state of the last seconds: OK if the model answered, WARN if not always, ERROR if nothing did."""
        since_s, name = self._clock() - self._words.window_s, f"{self._words.name}: answers"
        sources = [source for at_s, source in self._recent.copy() if at_s >= since_s]
        counts = {source: float(sources.count(source)) for source in self._words.sources}
        if sources and counts[MODEL] == len(sources):
            return Status(Level.OK, name, "OK", counts)
        level = Level.WARN if len(sources) > counts[NONE] else Level.ERROR
        return Status(level, name, self._reason or "the model did not answer every one of the last ticks", counts)

    def _note(self, source: str, reason: str, cause: str) -> None:
        self._recent.append((self._clock(), source))
        if cause != self._cause:
            name = self._words.name
            if self._cause and self._told:
                _log.info("%s: %s is over, after %d ticks; now: %s", name, self._cause, self._lasts, reason or source)
            self._cause, self._lasts = cause, 0
            self._told = bool(cause) and self._failures.add(f"{name}: {cause}", _NotByModel(reason))
        self._lasts += 1
        self._source, self._reason = source, reason
