"""The thread of a node's process: its health, and its diagnostics once a second."""

from __future__ import annotations

import logging
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from perception_nodes.failure_log import FailureLog
from perception_nodes.operations import topic_process
from perception_nodes.operations.diagnostics import DIAGNOSTICS, Level, Status
from perception_nodes.operations.topic_process import TopicProcess
from perception_nodes.ros.messages import deserialize
from perception_nodes.ros.topics import RosNode


class Waiting(TopicProcess):
    """Waits in every round until it may go on."""

    def __init__(self, ros: RosNode) -> None:
        super().__init__(ros)
        self.may_go_on = threading.Event()
        self._thread.start()

    def ready(self) -> str:
        return ""

    def statuses(self) -> list[Status]:
        return [Status(Level.OK, "waiting", "OK")]

    def close(self) -> None:
        self._closing = True
        self.may_go_on.set()
        self._thread.join(60)

    def _round(self) -> None:
        self.may_go_on.wait(60)
        time.sleep(0.005)


@pytest.fixture
def published() -> list[bytes]:
    return []


def ros_of(published: list[bytes]) -> RosNode:
    publisher = SimpleNamespace(put=published.append)
    return cast(Any, SimpleNamespace(publisher=lambda _topic: publisher, failures=FailureLog(logging.getLogger())))


@pytest.fixture
def process(published: list[bytes]):
    with Waiting(ros_of(published)) as made:
        yield made


def test_a_thread_that_starts_no_round_is_stuck_until_it_does(process: Waiting, monkeypatch) -> None:
    monkeypatch.setattr(topic_process, "STUCK_S", 0.1)
    time.sleep(0.2)
    assert not process.works()
    assert process.live().startswith("no progress for 0.")
    process.may_go_on.set()
    end = time.monotonic() + 60
    while not process.works() or process.live():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_one_that_ended_does_not_work(process: Waiting) -> None:
    process.close()
    assert not process.works()
    assert process.live() == "the thread of Waiting has ended"


def test_a_round_that_fails_is_counted_and_the_next_begins(published: list[bytes], monkeypatch) -> None:
    monkeypatch.setattr(topic_process, "WAIT_S", 0.01)
    rounds = threading.Semaphore(0)

    class Failing(Waiting):
        def _round(self) -> None:
            rounds.release()
            raise MemoryError("a message was too large")

    with Failing(ros_of(published)) as process:
        for _ in range(3):
            assert rounds.acquire(timeout=60)
        assert process.works()
    count = process.registry.get_sample_value("perception_failures_total", {"subject": "Failing"})
    assert count is not None
    assert count >= 2


def test_diagnostics_go_out_at_their_rate(process: Waiting, published: list[bytes], monkeypatch) -> None:
    monkeypatch.setattr(topic_process, "DIAGNOSE_S", 0.1)
    begin_s = time.monotonic()
    process.may_go_on.set()
    while len(published) < 3:
        assert time.monotonic() - begin_s < 60
        time.sleep(0.005)
    assert time.monotonic() - begin_s >= 0.1, "the first may have gone out before"
    process.close()
    (status,) = deserialize(published[0], DIAGNOSTICS).status
    assert (status.name, status.message) == ("waiting", "OK")
