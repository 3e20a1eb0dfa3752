"""The process of a node: one thread that takes input after input, its health, and its diagnostics once a second."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from perception_nodes.failure_log import FailureLog
from perception_nodes.operations.diagnostics import (
    DIAGNOSTICS,
    DIAGNOSTICS_TOPIC,
    Status,
    diagnostic_array,
)
from perception_nodes.ros.messages import serialize, topic_of
from perception_nodes.ros.topics import RosNode

WAIT_S = 0.2
"""Seconds that a round waits for input."""
STUCK_S = 10.0
"""A thread that starts no round for this many seconds is stuck."""
DIAGNOSE_S = 1.0
"""Seconds between two diagnostics."""


class TopicProcess(ABC):
    """Runs a node between topics until it is closed. zenoh's threads only hand messages over to the process's own.

    Args:
        ros: The ROS node on zenoh.

    Attributes:
        registry: Registry of its metrics.
        failures: Counts and logs what came and could not be used; the ROS node's own.
    """

    def __init__(self, ros: RosNode) -> None:
        self.registry = CollectorRegistry()
        self.failures = ros.failures
        self.registry.register(_FailureCollector(self.failures))
        self._closing = False
        self._round_s = self._diagnosed_s = time.monotonic()
        self._diagnostics = ros.publisher(topic_of(DIAGNOSTICS_TOPIC, DIAGNOSTICS))
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @property
    def places(self) -> dict[str, int]:
        """Ports that it listens at, other than the metrics', for the line that is printed when it is ready."""
        return {}

    @abstractmethod
    def ready(self) -> str:
        """For /readyz: what is missing; empty if nothing is."""

    @abstractmethod
    def statuses(self) -> list[Status]:
        """Returns the content of the diagnostics."""

    @abstractmethod
    def close(self) -> None:
        """Finishes the present work, and ends."""

    @abstractmethod
    def _round(self) -> None:
        """Waits up to `WAIT_S` for an input and works on it. What it raises is logged, and the next round begins."""

    def works(self) -> bool:
        """Whether the thread lives and makes progress; the process ends if it does not, to be started again."""
        return not self.live()

    def live(self) -> str:
        """For /livez: why there is no progress; empty while there is."""
        if not self._thread.is_alive():
            return f"the thread of {type(self).__name__} has ended"
        lasts_s = time.monotonic() - self._round_s
        return "" if lasts_s < STUCK_S else f"no progress for {lasts_s:.1f} s; expected a round in {STUCK_S:g} s"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closing:
            self._round_s = time.monotonic()
            try:
                self._diagnose()
                self._round()
            except Exception as error:  # one message must not end the process
                self.failures.add(type(self).__name__, error)
                time.sleep(WAIT_S)  # what fails without waiting for input would fill a core

    def _diagnose(self) -> None:
        """Publishes the diagnostics if it is time."""
        if self._round_s - self._diagnosed_s >= DIAGNOSE_S:
            self._diagnosed_s = self._round_s
            self._diagnostics.put(serialize(diagnostic_array(time.time_ns(), self.statuses()), DIAGNOSTICS))


class _FailureCollector(Collector):
    """Reads the numbers of failures when they are scraped."""

    def __init__(self, failures: FailureLog) -> None:
        self._failures = failures

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yields one counter."""
        text = "What could not be used or failed, by topic or part"
        family = CounterMetricFamily("perception_failures", text, labels=["subject"])
        for subject, count in sorted(self._failures.counts.copy().items()):
            family.add_metric([subject], count)
        yield family
