from __future__ import annotations

import logging

import pytest

from perception_nodes.failure_log import LINES, WINDOW_S, FailureLog
from perception_nodes.ros.cdr_payload import MalformedMessage

_log = logging.getLogger(__name__)


def test_of_many_failures_a_few_are_logged_in_one_line_each_and_all_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 0.0
    failures = FailureLog(_log, clock=lambda: now_s)
    for number in range(545):
        failures.add("/objects", MalformedMessage(f"no message, for reason {number}\nand more"))
    failures.add("/map", MalformedMessage("no map"))
    assert [record.getMessage() for record in caplog.records] == [
        *(f"/objects: no message, for reason {number} and more" for number in range(LINES)),
        "/map: no map",
    ]
    assert all(record.exc_info is None for record in caplog.records)
    assert failures.counts == {"/objects": 545, "/map": 1}
    now_s = WINDOW_S
    failures.add("/objects", MalformedMessage("again"))
    assert caplog.records[-1].getMessage() == f"/objects: again ({545 - LINES} more were left out of the log)"


def test_an_unforeseen_error_comes_with_its_traceback_and_no_text_is_long(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog(_log)
    failures.add("/objects", ZeroDivisionError("x" * 100_000))
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.getMessage().startswith("/objects: ZeroDivisionError: xxx")
    assert len(record.getMessage()) < 1000


def test_several_failures_of_one_cause_take_one_line_and_count_as_several(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog(_log)
    failures.add("/points", ConnectionError("seven messages did not arrive"), 7)
    assert failures.counts == {"/points": 7}
    assert len(caplog.records) == 1
