"""A node's health as `diagnostic_msgs/DiagnosticArray`, in the terms of Autoware's monitors.

A value beyond its tolerance is a WARN, several in a row are an ERROR, as `map_based_prediction` reports its processing
time. A topic is NotReceived, Timeout, ErrorRate, WarnRate or OK, as `topic_state_monitor` reports it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from perception_nodes.ros.messages import header, make

DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
DIAGNOSTICS_TOPIC = "/diagnostics"
"""ROS's own topic."""
_RATE_OVER = 10
"""Number of intervals that a rate is measured over."""


class Level(IntEnum):
    """The levels of `diagnostic_msgs/DiagnosticStatus`."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Status:
    """The state of one part of a node.

    Attributes:
        level: How good it is.
        name: Name of the part, such as `forecast: processing time`.
        message: The state, in a word or a sentence.
        values: Numbers behind it.
    """

    level: Level
    name: str
    message: str
    values: Mapping[str, float] = field(default_factory=dict)


class ExcessMonitor:
    """Watches a value that should stay below a tolerance.

    Args:
        name: Name of the value.
        tolerance: Maximum of the value.
        in_a_row: Number of values in a row beyond the tolerance that is an error.
    """

    def __init__(self, name: str, tolerance: float, in_a_row: int = 5) -> None:
        self._name, self._tolerance, self._limit = name, tolerance, in_a_row
        self._value, self._in_a_row = 0.0, 0

    def observe(self, value: float) -> None:
        """Takes the next value."""
        self._value = value
        self._in_a_row = self._in_a_row + 1 if value > self._tolerance else 0

    def status(self) -> Status:
        """Returns the state by the last value and those before it."""
        values = {"value": self._value, "tolerance": self._tolerance, "in_a_row": float(self._in_a_row)}
        if self._in_a_row == 0:
            return Status(Level.OK, self._name, "OK", values)
        level = Level.ERROR if self._in_a_row >= self._limit else Level.WARN
        return Status(level, self._name, f"{self._value:.1f} exceeds {self._tolerance:.1f}", values)


class InputMonitor:
    """Watches how often messages come.

    Args:
        name: Name of the topic.
        warn_rate_hz: A lower rate is a warning.
        error_rate_hz: A lower rate is an error.
        timeout_s: A longer silence is an error, whatever the rate was.
    """

    def __init__(self, name: str, warn_rate_hz: float, error_rate_hz: float, timeout_s: float) -> None:
        self._name, self._warn, self._error, self._timeout_s = name, warn_rate_hz, error_rate_hz, timeout_s
        self._times: deque[float] = deque(maxlen=_RATE_OVER + 1)

    def observe(self, now_s: float) -> None:
        """Counts a message that came at this time of a monotonic clock."""
        self._times.append(now_s)

    def status(self, now_s: float) -> Status:
        """Returns the state at this time of the same clock; the rate is that of the last ten intervals."""
        if not self._times:
            return Status(Level.ERROR, self._name, "NotReceived")
        silence = now_s - self._times[-1]
        lasted = self._times[-1] - self._times[0]
        rate = (len(self._times) - 1) / lasted if lasted > 0 else float("inf")
        values = {"rate_hz": rate, "silence_s": silence}
        if silence > self._timeout_s:
            return Status(Level.ERROR, self._name, "Timeout", values)
        if rate < self._error:
            return Status(Level.ERROR, self._name, "ErrorRate", values)
        if rate < self._warn:
            return Status(Level.WARN, self._name, "WarnRate", values)
        return Status(Level.OK, self._name, "OK", values)


def diagnostic_array(stamp_ns: int, statuses: Sequence[Status], hardware_id: str = "frozen-perception") -> Any:
    """Returns the message of some statuses."""
    return make(
        DIAGNOSTICS,
        header=header(stamp_ns, ""),
        status=[
            make(
                "diagnostic_msgs/msg/DiagnosticStatus",
                level=int(status.level),
                name=status.name,
                message=status.message,
                hardware_id=hardware_id,
                values=[
                    make("diagnostic_msgs/msg/KeyValue", key=key, value=f"{value:g}")
                    for key, value in status.values.items()
                ],
            )
            for status in statuses
        ],
    )
