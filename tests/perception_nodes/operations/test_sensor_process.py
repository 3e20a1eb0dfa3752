"""What all nodes of one sensor do, by one that answers with what it got."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zenoh

from perception_nodes.block.request import NoWorker
from perception_nodes.image.plan import ImagePlan
from perception_nodes.operations.diagnostics import Level
from perception_nodes.operations.reasons import MissingInput
from perception_nodes.operations.sensor_plan import SensorPlan
from perception_nodes.operations.sensor_process import SensorMessage, SensorProcess
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import ANSWER_STATUS, CLOCK, deserialize, header, make, serialize, stamp_ns_of
from perception_nodes.ros.topics import Publisher, RosNode
from perception_nodes.ros.wire import RmwZenoh

PATIENCE_S = 60
PLAN = ImagePlan(Path("unused"), max_age_s=PATIENCE_S, max_silence_s=PATIENCE_S, tolerance_ms=1e3 * PATIENCE_S)
"""A busy machine keeps its limits."""
PIXELS = np.zeros((1, 1, 3), np.uint8)


class Echo(SensorProcess):
    """Answers with the message, once its gate is open."""

    def __init__(self, ros: RosNode, plan: SensorPlan, waiting: int = 1) -> None:
        super().__init__(ros, plan, "echo", "model@1", waiting)
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.every, self.taken = 1, 0
        self._start(ros)

    def _answer(self, message: SensorMessage) -> bytes | None:
        self.entered.set()
        self.taken += 1
        assert self.gate.wait(PATIENCE_S)
        if self.fault is not None:
            raise self.fault
        return message.cdr if self.taken % self.every == 0 else None

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@dataclass
class Camera:
    """Sends messages, and hears what comes of them."""

    images: Publisher
    clock: Publisher | None
    answers: queue.Queue[bytes]
    statuses: queue.Queue[bytes]

    def status(self) -> Any:
        """The next status that is not of silence."""
        while True:
            status = deserialize(self.statuses.get(timeout=PATIENCE_S), ANSWER_STATUS)
            if not status.reason.startswith("no messages"):
                return status


Start = Callable[..., tuple[Echo, Camera]]


@pytest.fixture
def start(sessions: tuple[zenoh.Session, zenoh.Session]) -> Iterator[Start]:
    """Starts a node, and a camera that it has met."""
    with ExitStack() as open_:

        def start(plan: SensorPlan = PLAN, waiting: int = 1) -> tuple[Echo, Camera]:
            ros = open_.enter_context(RosNode(sessions[1], RmwZenoh(node="camera")))
            answers, statuses = queue.Queue[bytes](), queue.Queue[bytes]()
            for topic, heard in zip(plan.outputs, (answers, statuses), strict=True):
                ros.subscribe(topic, lambda received, heard=heard: heard.put(received.cdr))
            images, *clock = map(ros.publisher, plan.inputs)
            node = open_.enter_context(RosNode(sessions[0], RmwZenoh(node="echo")))
            process = open_.enter_context(Echo(node, plan, waiting))
            first = deserialize(statuses.get(timeout=PATIENCE_S), ANSWER_STATUS)
            assert first.reason.startswith("no messages for ")
            assert (first.valid, first.source, first.node, first.model_id) == (False, "none", "echo", "model@1")
            return process, Camera(images, clock[0] if clock else None, answers, statuses)

        yield start


@pytest.fixture
def message(image_message: Callable[..., bytes]) -> Callable[..., bytes]:
    """Makes a message, of now unless its stamp is given."""

    def message(stamp_ns: int | None = None) -> bytes:
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        return image_message(PIXELS, "rgb8", stamp_ns=stamp_ns, frame_id="front")

    return message


def test_an_answer_and_its_status_have_the_header_that_came(start: Start, message: Callable[..., bytes]) -> None:
    process, camera = start()
    assert process.ready() == "no messages yet"
    stamp_ns = time.time_ns()
    camera.images.put(message(stamp_ns))
    status = camera.status()
    assert (status.valid, status.source, status.reason, status.dropped_since_last) == (True, "model", "", 0)
    assert (stamp_ns_of(status.header), status.header.frame_id) == (stamp_ns, "front")
    assert 0 < status.latency_ms <= status.age_ms < 1e3 * PATIENCE_S
    assert camera.answers.get(timeout=PATIENCE_S) == message(stamp_ns)
    assert (process.ready(), process.live()) == ("", "")
    assert process.metric("perception_ticks_total", source="model") == 1
    answers, times, rate = process.statuses()
    assert {answers.level, times.level, rate.level} == {Level.OK}


def test_a_newer_message_replaces_the_one_that_waits_and_the_replaced_are_counted(
    start: Start, message: Callable[..., bytes]
) -> None:
    process, camera = start()
    process.gate.clear()
    now_ns = time.time_ns()
    sent = [message(now_ns + number) for number in range(5)]
    camera.images.put(sent[0])
    assert process.entered.wait(PATIENCE_S)
    for cdr in sent[1:]:
        camera.images.put(cdr)
    end = time.monotonic() + PATIENCE_S
    while process.metric("perception_frames_dropped") != 3:
        assert time.monotonic() < end
    process.gate.set()
    assert [camera.answers.get(timeout=PATIENCE_S) for _ in range(2)] == [sent[0], sent[4]]
    assert [camera.status().dropped_since_last for _ in range(2)] == [3, 0]


REFUSED: dict[str, tuple[Exception, str, str]] = {
    "content": (MalformedMessage("no rows"), "message: MalformedMessage: no rows", "content"),
    "model": (MemoryError(), "the model failed: MemoryError", "model_failed"),
    "service": (NoWorker("gone"), "block service: NoWorker: gone", "block_service"),
    "else": (MissingInput("no map"), "missing: no map", "missing_input"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_fails_is_told_and_counted_and_the_next_message_is_answered(
    start: Start, message: Callable[..., bytes], name: str
) -> None:
    process, camera = start()
    process.fault, reason, word = REFUSED[name]
    for count in (1, 2):
        camera.images.put(message())
        status = camera.status()
        assert (status.valid, status.source, status.reason) == (False, "none", reason)
        assert status.header.frame_id == "front"
        assert process.metric("perception_ticks_without_model_total", reason=word) == count
    assert process.ready() == reason
    assert process.statuses()[0].level == Level.ERROR
    assert process.failures.counts[PLAN.images] == (0 if name == "else" else 2)  # nothing is wrong with the message
    process.fault = None
    camera.images.put(message())
    status = camera.status()
    assert (status.valid, status.dropped_since_last) == (True, 2)
    assert camera.answers.get(timeout=PATIENCE_S)
    assert camera.answers.empty()
    assert process.ready() == ""
    assert process.works()


def test_stamps_beyond_the_limits_and_messages_without_a_header_are_refused_unread(
    start: Start, message: Callable[..., bytes]
) -> None:
    process, camera = start()
    now_ns = time.time_ns()
    for cdr, reason in (
        (message(now_ns - 99 * 10**9), "the stamp is 99"),
        (message(now_ns + 60 * 10**9), "the stamp is "),
        (message(0), "the stamp is "),
        (b"", "message: MalformedMessage: a message of 0 bytes"),
        (b"\x00\x01\x00\x00rubbish", "message: MalformedMessage: the message ends after 7 bytes"),
    ):
        camera.images.put(cdr)
        assert camera.status().reason.startswith(reason)
    assert process.metric("perception_ticks_without_model_total", reason="stamp") == 3
    assert process.metric("perception_ticks_without_model_total", reason="content") == 2
    assert not process.entered.is_set()


def test_a_simulated_clock_is_awaited_and_believed(start: Start, message: Callable[..., bytes]) -> None:
    _, camera = start(replace(PLAN, use_sim_time=True))
    assert camera.clock is not None
    camera.images.put(message(10**9))
    assert camera.status().reason.startswith("no time on /clock yet")
    now = serialize(make(CLOCK, clock=header(10**9, "").stamp), CLOCK)
    end = time.monotonic() + PATIENCE_S
    while True:
        camera.clock.put(now)
        camera.images.put(message(10**9))
        status = camera.status()
        if status.valid:
            assert status.age_ms == 0
            break
        assert time.monotonic() < end


def test_no_more_answers_are_given_than_the_rate_allows(start: Start, message: Callable[..., bytes]) -> None:
    process, camera = start(replace(PLAN, max_rate_hz=4.0))
    begin_s, answered = time.monotonic(), 0
    while answered < 3:
        camera.images.put(message())
        try:
            answered += bool(camera.answers.get(timeout=0.02))
        except queue.Empty:
            assert time.monotonic() - begin_s < PATIENCE_S
    assert time.monotonic() - begin_s >= 2 / 4.0
    assert process.metric("perception_frames_dropped")


def test_silence_is_told_and_after_a_while_fails_the_diagnostics(start: Start, message: Callable[..., bytes]) -> None:
    process, camera = start(replace(PLAN, max_silence_s=0.3))
    camera.images.put(message())
    assert camera.status().valid
    camera.images.put(message(0))
    assert camera.status().dropped_since_last == 0
    told = [deserialize(camera.statuses.get(timeout=PATIENCE_S), ANSWER_STATUS) for _ in range(4)]
    assert all(status.reason.startswith("no messages for ") for status in told)
    assert all(not status.valid and status.header.frame_id == "" for status in told)
    assert {status.dropped_since_last for status in told} == {1}
    assert process.ready().startswith("no messages for ")
    assert process.statuses()[2].message == "Timeout"


def test_it_ends_while_it_waits_for_its_rate(start: Start, message: Callable[..., bytes]) -> None:
    process, camera = start(replace(PLAN, max_rate_hz=0.001))
    camera.images.put(message())
    assert camera.status().valid
    begin_s = time.monotonic()
    process.close()
    assert time.monotonic() - begin_s < PATIENCE_S
    assert process.live() == "the thread of Echo has ended"


def test_a_kind_that_needs_every_message_takes_all_at_once_and_answers_some(
    start: Start, message: Callable[..., bytes]
) -> None:
    process, camera = start(replace(PLAN, max_rate_hz=0.001), 8)
    process.every = 6
    process.gate.clear()
    now_ns = time.time_ns()
    sent = [message(now_ns + number) for number in range(12)]
    camera.images.put(sent[0])
    assert process.entered.wait(PATIENCE_S)
    for cdr in sent[1:]:
        camera.images.put(cdr)
    end = time.monotonic() + PATIENCE_S
    while process.metric("perception_frames_dropped") != 3:
        assert time.monotonic() < end
    process.gate.set()
    assert camera.answers.get(timeout=PATIENCE_S) == sent[8]  # the sixth of those that are left
    status = camera.status()
    assert (status.valid, status.dropped_since_last) == (True, 3)
    while process.taken < 9:
        assert time.monotonic() < end
    assert process.metric("perception_ticks_total", source="model") == 1
    assert camera.answers.empty()
