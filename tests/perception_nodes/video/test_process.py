"""The video node between topics; what all nodes of one sensor do is tested with `operations/sensor_process.py`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.clips.clip import Clip
from perception.models.action_recognizer import ActionRecognizer
from perception_nodes.operations.lifecycle import State
from perception_nodes.ros.classification import RankedClasses
from perception_nodes.ros.messages import CLOCK, header, make, serialize, stamp_ns_of
from perception_nodes.video.node import VideoNode
from perception_nodes.video.plan import VideoPlan
from perception_nodes.video.process import WAITING, VideoProcess

CLASSES = ("up", "down", "still")
PATIENCE_S = 60
PLAN = VideoPlan(
    Path("unused"),
    every=1,
    stride_s=0.2,
    use_sim_time=True,
    max_age_s=PATIENCE_S,
    max_ahead_s=PATIENCE_S,
    max_silence_s=PATIENCE_S,
)
"""A busy machine keeps its limits; the time is that of a log."""
BEGIN_NS, STEP_NS = 1_600_000_000_000_000_000, 100_000_000
Message = Callable[..., bytes]


def configured(model: ActionRecognizer, plan: VideoPlan = PLAN) -> VideoNode:
    node = VideoNode(3, stride_s=plan.stride_s, max_gap_s=plan.max_gap_s, every=plan.every)
    node.configure(model, CLASSES, model_id="tiny")
    return node


def set_clock(robot: Any, stamp_ns: int = BEGIN_NS) -> None:
    """Gives the node the time of the log; pictures may not overtake it."""
    end_s = time.monotonic() + PATIENCE_S
    while robot.process._clock.now_ns() != stamp_ns:
        robot.inputs[1].put(serialize(make(CLOCK, clock=header(stamp_ns, "").stamp), CLOCK))
        assert time.monotonic() < end_s, "no time came"


def scores(answer: Any) -> list[float]:
    of = {result.class_id: result.score for result in answer.results}
    return [of[name] for name in CLASSES]


def test_clips_are_answered_as_offline_once_they_are_full_and_anew_after_a_gap(
    start_robot: Callable[..., Any], action_recognizer: ActionRecognizer, scenes: np.ndarray, image_message: Message
) -> None:
    node = configured(action_recognizer.folded())
    robot = start_robot(VideoProcess, node, PLAN)
    set_clock(robot)
    stamps = BEGIN_NS + STEP_NS * np.concatenate([np.arange(9), 25 + np.arange(8)])
    for number, stamp_ns in enumerate(stamps.tolist()):
        robot.inputs[0].put(image_message(scenes[number], "rgb8", stamp_ns=stamp_ns))
        if number < 6:
            expected = f"missing: the clip has 0.{number}0 s of its 0.60 s, since the first picture"
            assert robot.status().reason == expected
        elif 9 <= number < 15:
            assert (
                robot.status().reason == f"missing: the clip has 0.{number - 9}0 s of its 0.60 s, since a gap of 1.70 s"
            )
        else:
            answer = robot.answer()
            assert stamp_ns_of(answer.header) == stamp_ns
            (of,) = action_recognizer.classify([Clip("offline", scenes[number - 6 : number + 1 : 2])])
            assert scores(answer) == pytest.approx(of.tolist(), abs=1e-6)
    assert robot.metric("perception_ticks_without_model_total", reason="missing_input") == 12
    assert PLAN.images not in robot.process.failures.counts  # no fault of the pictures
    assert (robot.process.ready(), robot.process.live()) == ("", "")
    robot.process.close()
    assert node.lifecycle.state is State.FINALISED


def test_every_so_many_pictures_are_answered_and_broken_and_late_ones_are_told(
    start_robot: Callable[..., Any], action_recognizer: ActionRecognizer, scenes: np.ndarray, image_message: Message
) -> None:
    plan = replace(PLAN, every=4, stride_s=0.1)
    robot = start_robot(VideoProcess, configured(action_recognizer, plan), plan)
    set_clock(robot)

    def show(number: int, **changes: int) -> None:
        robot.inputs[0].put(image_message(scenes[number], "rgb8", stamp_ns=BEGIN_NS + number * STEP_NS, **changes))

    for number in range(8):
        show(number)
        if number % 4 == 3:
            (of,) = action_recognizer.classify([Clip("offline", scenes[number - 3 : number + 1])])
            answer = robot.answer()
            assert scores(answer) == pytest.approx(of.tolist(), abs=1e-6)
            assert stamp_ns_of(answer.header) == BEGIN_NS + number * STEP_NS
    show(9, step=1)
    assert robot.status().reason.startswith("message: MalformedMessage: a picture in rgb8")
    show(7)
    assert robot.status().reason.startswith("message: InputError: a picture 0.000 s before the last one")
    for number in range(8, 12):
        show(number)
    assert stamp_ns_of(robot.answer().header) == BEGIN_NS + 11 * STEP_NS
    assert robot.metric("perception_ticks_without_model_total", reason="content") == 2


class _Slow(VideoNode):
    """Waits before it answers."""

    def __init__(self, gate: threading.Event, entered: threading.Event, **options: Any) -> None:
        super().__init__(3, **options)
        self.gate, self.entered = gate, entered

    def classify(self) -> RankedClasses:
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        return super().classify()


def test_pictures_that_come_while_it_computes_are_in_the_next_clip_and_the_newest_is_answered(
    start_robot: Callable[..., Any], action_recognizer: ActionRecognizer, scenes: np.ndarray, image_message: Message
) -> None:
    gate, entered = threading.Event(), threading.Event()
    plan = replace(PLAN, every=1, stride_s=0.1)
    node = _Slow(gate, entered, stride_s=0.1, every=4)
    node.configure(action_recognizer, CLASSES, model_id="tiny")
    robot = start_robot(VideoProcess, node, plan)
    set_clock(robot)

    def show(number: int) -> None:
        robot.inputs[0].put(image_message(scenes[number], "rgb8", stamp_ns=BEGIN_NS + number * STEP_NS))

    for number in range(4):
        show(number)
    assert entered.wait(PATIENCE_S)
    for number in range(4, 17):
        show(number)
    end_s = time.monotonic() + PATIENCE_S
    while robot.process._inbox.waiting < 13:
        assert time.monotonic() < end_s
    gate.set()
    for number in (3, 16):
        answer = robot.answer()
        assert stamp_ns_of(answer.header) == BEGIN_NS + number * STEP_NS
        (of,) = action_recognizer.classify([Clip("offline", scenes[number - 3 : number + 1])])
        assert scores(answer) == pytest.approx(of.tolist(), abs=1e-6)
    assert robot.metric("perception_frames_dropped") == 0


def test_a_camera_that_is_too_fast_is_answered_all_the_same(
    start_robot: Callable[..., Any], action_recognizer: ActionRecognizer, scenes: np.ndarray, image_message: Message
) -> None:
    """With a picture always waiting, the answer to the newest would never come."""
    robot = start_robot(VideoProcess, configured(action_recognizer), PLAN)
    process = robot.process
    process.close()
    node = configured(action_recognizer, replace(PLAN, stride_s=1e-9))
    node.activate()
    process._node = node
    process._inbox = type("Busy", (), {"waiting": 1})()
    given = []
    for number in range(WAITING + 3):
        cdr = image_message(scenes[0], "rgb8", stamp_ns=BEGIN_NS + number)
        given.append(process._answer(type("Message", (), {"cdr": cdr})()) is not None)
    assert given == [False] * WAITING + [True, False, False]


def test_no_more_answers_are_given_than_the_rate_allows_and_no_picture_is_lost(
    start_robot: Callable[..., Any], action_recognizer: ActionRecognizer, scenes: np.ndarray, image_message: Message
) -> None:
    plan = replace(PLAN, stride_s=0.1, max_rate_hz=0.001)
    robot = start_robot(VideoProcess, configured(action_recognizer, plan), plan)
    set_clock(robot)
    for number in range(12):
        robot.inputs[0].put(image_message(scenes[number], "rgb8", stamp_ns=BEGIN_NS + number * STEP_NS))
    end_s = time.monotonic() + PATIENCE_S
    while not (clip := robot.process._node._clip) or not clip._kept or clip._kept[-1][0] != BEGIN_NS + 11 * STEP_NS:
        assert time.monotonic() < end_s
    robot.status()
    assert robot.metric("perception_frames_dropped") == 0
    assert sum(robot.metric("perception_ticks_total", source=source) or 0 for source in ("model", "none")) == 1
