"""The process of a node: one thread that takes input after input, its health, and its diagnostics once a second."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import Self

from prometheus_client import CollectorRegistry

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
    """

    def __init__(self, ros: RosNode) -> None:
        self.registry = CollectorRegistry()
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
        """Waits up to `WAIT_S` for an input and works on it. Must not raise."""

    def works(self) -> bool:
        """Whether the thread lives and makes progress."""
        return self._thread.is_alive() and time.monotonic() - self._round_s < STUCK_S

    def live(self) -> str:
        """For /livez: how long there was no progress; empty while there is."""
        return "" if self.works() else f"no progress for {time.monotonic() - self._round_s:.1f} s"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closing:
            self._round_s = time.monotonic()
            if self._round_s - self._diagnosed_s >= DIAGNOSE_S:
                self._diagnosed_s = self._round_s
                self._diagnostics.put(serialize(diagnostic_array(time.time_ns(), self.statuses()), DIAGNOSTICS))
            self._round()
