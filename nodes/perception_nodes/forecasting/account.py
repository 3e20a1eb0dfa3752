"""What became of a node's ticks: counted by source and cause, judged for the diagnostics, and told in the log."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram

from perception.errors import InputError
from perception_nodes.failure_log import FailureLog
from perception_nodes.forecasting.causes import Cause, cause_of
from perception_nodes.operations.diagnostics import Level, Status

WINDOW_S = 1.0
"""Diagnostics judge the answers of the last second."""
_SOURCES = ("model", "fallback", "none")
_MOST = 200
_NAME = "forecast: answers"

_log = logging.getLogger(__name__)


class _NotByModel(InputError):
    """Ticks are not answered by the model; the message says why."""


class TickAccount:
    """Takes the outcome of every tick.

    Args:
        registry: Registry of its metrics.
        failures: Where the log's lines are bounded.
        clock: Returns a monotonic time in seconds.
    """

    def __init__(
        self, registry: CollectorRegistry, failures: FailureLog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures, self._clock = failures, clock
        self._recent: deque[tuple[float, str]] = deque(maxlen=_MOST)
        self._source, self._reason, self._cause, self._lasts, self._told = "", "no objects yet", Cause.NONE, 0, False
        buckets = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.085, 0.1, 0.2, 0.5)
        name = "perception_latency_seconds"
        self._latency = Histogram(name, "From receipt to publication", registry=registry, buckets=buckets)
        self._answered = Counter("perception_frames_answered", "Valid answers", registry=registry)
        self._refused = Counter("perception_frames_refused", "Ticks without a valid answer", registry=registry)
        name = "perception_ticks"
        self._sources = Counter(name, "Ticks by the source of their answer", ["source"], registry=registry)
        name = "perception_ticks_without_model"
        self._causes = Counter(name, "Ticks that the model did not answer", ["reason"], registry=registry)
        for source in _SOURCES:
            self._sources.labels(source)
        for cause in Cause:
            if cause not in (Cause.NONE, Cause.NO_OBJECTS):  # without objects there is no tick
                self._causes.labels(cause.value)

    @property
    def reason(self) -> str:
        """Why the last tick has no valid answer, or none came; empty if it has one."""
        return "" if self._source in ("model", "fallback") else self._reason

    def observe(self, source: str, reason: str, latency_ms: float | None = None) -> None:
        """Takes what became of a tick, before it is published, so that whoever gets it finds it counted.

        Args:
            source: `model`, `fallback` or `none`.
            reason: Why it is not `model`.
            latency_ms: Time of a valid answer, from receipt.
        """
        cause = cause_of(reason)
        self._sources.labels(source).inc()
        if cause:
            self._causes.labels(cause.value).inc()
        if source == "none":
            self._refused.inc()
        else:
            self._answered.inc()
        if latency_ms is not None:
            self._latency.observe(latency_ms / 1e3)
        self._note(source, reason, cause)

    def silent(self, reason: str) -> None:
        """Takes that no objects come, which is not a tick."""
        self._note("none", reason, Cause.NO_OBJECTS)

    def status(self) -> Status:
        """Returns the state of the last second: OK if the model answered, WARN if not always, ERROR if nothing did."""
        since_s = self._clock() - WINDOW_S
        sources = [source for at_s, source in self._recent.copy() if at_s >= since_s]
        counts = {source: float(sources.count(source)) for source in _SOURCES}
        if sources and counts["model"] == len(sources):
            return Status(Level.OK, _NAME, "OK", counts)
        level = Level.WARN if counts["model"] or counts["fallback"] else Level.ERROR
        return Status(level, _NAME, self._reason or "the model did not answer every tick of the last second", counts)

    def _note(self, source: str, reason: str, cause: Cause) -> None:
        self._recent.append((self._clock(), source))
        if cause is not self._cause:
            if self._cause and self._told:
                _log.info(
                    "forecast: %s is over, after %d ticks; now: %s", self._cause.value, self._lasts, reason or source
                )
            self._cause, self._lasts = cause, 0
            self._told = bool(cause) and self._failures.add(f"forecast: {cause.value}", _NotByModel(reason))
        self._lasts += 1
        self._source, self._reason = source, reason
