from __future__ import annotations

import pytest

from perception_nodes.operations.diagnostics import (
    DIAGNOSTICS,
    ExcessMonitor,
    InputMonitor,
    Level,
    Status,
    diagnostic_array,
)
from perception_nodes.ros.messages import deserialize, serialize


def test_one_excess_is_a_warning_and_several_in_a_row_an_error() -> None:
    monitor = ExcessMonitor("time", tolerance=10.0, in_a_row=3)
    seen = []
    for value in (5, 11, 11, 5, 11, 11, 11, 11, 10):
        monitor.observe(value)
        seen.append(monitor.status().level.name)
    assert seen == ["OK", "WARN", "WARN", "OK", "WARN", "WARN", "ERROR", "ERROR", "OK"]


@pytest.mark.parametrize(
    ("period_s", "silence_s", "message", "level"),
    [
        (0.1, 0.05, "OK", Level.OK),
        (0.15, 0.05, "WarnRate", Level.WARN),
        (0.3, 0.05, "ErrorRate", Level.ERROR),
        (0.1, 1.5, "Timeout", Level.ERROR),
    ],
)
def test_a_topic_is_as_autoware_would_call_it(period_s: float, silence_s: float, message: str, level: Level) -> None:
    monitor = InputMonitor("/objects", warn_rate_hz=8, error_rate_hz=5, timeout_s=1)
    assert monitor.status(0.0).message == "NotReceived"
    for number in range(30):
        monitor.observe(number * period_s)
    status = monitor.status(29 * period_s + silence_s)
    assert (status.message, status.level) == (message, level)


def test_statuses_are_a_message_of_ros() -> None:
    statuses = [Status(Level.WARN, "time", "12.0 exceeds 10.0", {"value": 12.0}), Status(Level.OK, "/objects", "OK")]
    message = deserialize(serialize(diagnostic_array(1_500_000_000, statuses), DIAGNOSTICS), DIAGNOSTICS)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
    assert [(status.level, status.name, status.message) for status in message.status] == [
        (1, "time", "12.0 exceeds 10.0"),
        (0, "/objects", "OK"),
    ]
    assert [(value.key, value.value) for value in message.status[0].values] == [("value", "12")]
