from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from perception_nodes.failure_log import FailureLog
from perception_nodes.forecasting.causes import WORDS
from perception_nodes.operations.account import TickAccount
from perception_nodes.operations.diagnostics import Level

LATE = "the model took longer than 80 ms"


class Watched:
    """An account with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.registry = CollectorRegistry()
        self.failures = FailureLog(logging.getLogger("test"))
        self.account = TickAccount(self.registry, self.failures, WORDS, clock=lambda: self.now_s)

    def tick(self, source: str, reason: str = "", after_s: float = 0.1) -> None:
        self.now_s += after_s
        self.account.observe(source, reason, None if source == "none" else 12.0)

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_diagnostics_warn_of_a_fallback_and_fail_after_a_second_without_answers() -> None:
    watched = Watched()
    assert watched.account.status().level == Level.ERROR
    for _ in range(20):
        watched.tick("model")
    assert (watched.account.status().level, watched.account.status().message) == (Level.OK, "OK")
    watched.tick("fallback", LATE)
    assert (watched.account.status().level, watched.account.status().message) == (Level.WARN, LATE)
    for _ in range(9):
        watched.tick("none", "no transform from 'lidar' to 'map'")
    assert watched.account.status().level == Level.WARN, "the answer before is not a second old yet"
    watched.tick("none", "no transform from 'lidar' to 'map'")
    watched.tick("none", "no transform from 'lidar' to 'map'")
    assert watched.account.status().level == Level.ERROR
    watched.tick("model")
    assert watched.account.status().level == Level.WARN
    watched.now_s += 1.1
    assert watched.account.status().level == Level.ERROR


def test_ticks_are_counted_by_source_and_by_few_causes() -> None:
    watched = Watched()
    for source, reason in (("model", ""), ("fallback", LATE), ("fallback", LATE), ("none", f"odd {watched.now_s}")):
        watched.tick(source, reason)
    watched.account.silent("no objects for 0.2 s")
    for source, count in (("model", 1), ("fallback", 2), ("none", 1)):
        assert watched.count("perception_ticks_total", source=source) == count
    assert watched.count("perception_ticks_without_model_total", reason="model_late") == 2
    assert watched.count("perception_ticks_without_model_total", reason="other") == 1
    assert watched.count("perception_frames_answered_total") == 3
    assert watched.count("perception_frames_refused_total") == 1
    assert watched.count("perception_latency_seconds_count") == 3


def test_a_reason_is_told_once_and_again_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            watched.tick("fallback", LATE)
        watched.tick("model")
    assert [record.getMessage() for record in caplog.records] == [
        f"forecast: model_late: {LATE}",
        "forecast: model_late is over, after 3 ticks; now: model",
    ]


def test_a_reason_that_comes_and_goes_all_the_time_takes_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            watched.tick("fallback", LATE)
            watched.tick("model")
    assert len(caplog.records) == 10


def test_readiness_is_that_of_the_last_tick() -> None:
    watched = Watched()
    assert watched.account.reason == "no objects yet"
    watched.tick("fallback", LATE)
    assert watched.account.reason == ""
    watched.tick("none", "no map")
    assert watched.account.reason == "no map"
