"""What every node's process between topics is: one thread that goes round, watched, with its diagnostics."""

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
"""A round without input is so long."""
STUCK_S = 10.0
"""A thread that has not begun another round after so long does not work any more."""
DIAGNOSE_S = 1.0


class TopicProcess(ABC):
    """Runs a node between topics until it is closed. zenoh's threads only hand messages over; one of ours works.

    Args:
        ros: The node's place on zenoh.

    Attributes:
        registry: Of its metrics.
    """

    def __init__(self, ros: RosNode) -> None:
        self.registry = CollectorRegistry()
        self._closing = False
        self._round_s = self._diagnosed_s = time.monotonic()
        self._diagnostics = ros.publisher(topic_of(DIAGNOSTICS_TOPIC, DIAGNOSTICS))
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @property
    def places(self) -> dict[str, int]:
        """Ports that it listens at beside its metrics', for the line that says that it is ready."""
        return {}

    @abstractmethod
    def ready(self) -> str:
        """For /readyz: empty, or what is missing."""

    @abstractmethod
    def statuses(self) -> list[Status]:
        """What goes into the diagnostics."""

    @abstractmethod
    def close(self) -> None:
        """Finishes what is in work, and ends."""

    @abstractmethod
    def _round(self) -> None:
        """Takes one input and works on it, or waits `WAIT_S` in vain. It raises nothing."""

    def works(self) -> bool:
        """Whether the thread lives and gets on."""
        return self._thread.is_alive() and time.monotonic() - self._round_s < STUCK_S

    def live(self) -> str:
        """For /livez."""
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
