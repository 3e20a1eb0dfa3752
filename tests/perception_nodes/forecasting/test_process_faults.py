"""What a node says and does when something is late, missing, broken or silent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from perception.encoders.vectornet.network import VectorNet
from perception.traffic.map_index import MapIndex, take
from perception_nodes.failure_log import LINES
from perception_nodes.forecasting.messages import odometry_of
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.process import ForecastingProcess
from perception_nodes.forecasting.tick import Tick
from perception_nodes.operations.diagnostics import Level
from perception_nodes.ros.cdr import read_predicted_objects
from perception_nodes.ros.map_message import MAX_POLYLINES, map_message
from perception_nodes.ros.messages import DETECTIONS, ODOMETRY, POLYLINE_MAP, serialize, stamp_ns_of
from perception_nodes.ros.odometry import ODOMETRY_TOPIC

Running = Callable[..., Any]
Configured = Callable[..., ForecastingNode]
MakeTick = Callable[..., Tick]


class Gate:
    """Stands before a node's model, and lets questions through, holds them up, or makes them fail."""

    def __init__(self, node: ForecastingNode) -> None:
        self.open = threading.Event()
        self.error: BaseException | None = None
        self.open.set()
        self._ask, node.ask = node.ask, self.ask

    def ask(self, question: Any) -> Any:
        self.open.wait(60)
        if self.error is not None:
            raise self.error
        return self._ask(question)


def level_of(process: ForecastingProcess, name: str = "forecast: answers") -> Level:
    return next(status.level for status in process.statuses() if status.name == name)


def test_a_model_that_is_late_is_not_waited_for_and_its_answer_is_discarded(
    running: Running, configured: Configured, make_tick: MakeTick
) -> None:
    node = configured()
    gate = Gate(node)
    with running(node, deadline_ms=80.0) as (process, tracker):
        tracker.meet(make_tick(0))
        gate.open.clear()
        late = []
        for step in range(1, 4):
            tracker.send(make_tick(step))
            late.append(tracker.state_of(make_tick(step)))
            forecast = read_predicted_objects(tracker.forecasts.get(timeout=60))
            assert forecast.stamp_ns == make_tick(step).stamp_ns
            assert set(forecast.path_counts) == {1}
        assert level_of(process) == Level.WARN
        gate.open.set()
        for step in range(4, 100):
            tracker.send(make_tick(step))
            if tracker.state_of(make_tick(step)).source == "model":
                break
        discarded = process.registry.get_sample_value("perception_model_answers_late")
    assert {(state.source, state.reason, state.valid) for state in late} == {
        ("fallback", "the model took longer than 80 ms", True)
    }
    assert all(78 <= state.latency_ms < 2000 for state in late)  # sent 2 ms before the deadline
    assert (discarded or 0) >= 1
    late_ticks = process.registry.get_sample_value("perception_ticks_without_model_total", {"reason": "model_late"})
    assert (late_ticks or 0) >= 3


@pytest.mark.parametrize("error", [RuntimeError("cannot"), SystemExit("the thread is to end"), MemoryError()])
def test_a_model_that_fails_costs_no_tick_and_is_asked_again(
    error: BaseException, running: Running, configured: Configured, make_tick: MakeTick
) -> None:
    node = configured()
    gate = Gate(node)
    with running(node) as (process, tracker):
        tracker.meet(make_tick(0))
        gate.error = error
        tracker.send(make_tick(1))
        state = tracker.state_of(make_tick(1))
        assert (state.source, state.valid) == ("fallback", True)
        assert state.reason == f"the model failed: {type(error).__name__}: {error}".rstrip(": ")
        gate.error = None
        tracker.send(make_tick(2))
        assert tracker.state_of(make_tick(2)).source == "model"
        assert process.works()


def test_ticks_that_came_while_a_process_was_held_up_are_all_answered(
    running: Running, configured: Configured, make_tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a machine that was busy for two seconds: no tick is dropped, or refused for the time that it waited."""
    now_ns, last = make_tick(10).stamp_ns, make_tick(20).stamp_ns
    with running(configured(), max_age_s=2.0, max_ahead_s=2.0) as (process, tracker):
        monkeypatch.setattr(process._clock, "now_ns", lambda: now_ns)
        tracker.meet(make_tick(0))
        held_up, read, waiting = threading.Event(), process._read, process._ticks._waiting

        def read_later(cdr: bytes) -> Any:
            assert held_up.wait(60)
            return read(cdr)

        monkeypatch.setattr(process, "_read", read_later)
        for step in range(1, 21):
            tracker.send(make_tick(step))
        end = time.monotonic() + 60
        while not waiting or read(waiting[-1][1].cdr).stamp_ns != last:
            assert time.monotonic() < end, "the ticks did not come"
        now_ns += 10 * 10**9
        held_up.set()
        states = [tracker.state_of(make_tick(step)) for step in range(1, 21)]
    assert [state.valid for state in states] == [True] * 20, {state.reason for state in states}
    assert process.registry.get_sample_value("perception_frames_dropped") == 0


def test_a_score_that_fails_does_not_refuse_the_tick_that_was_answered(
    running: Running, configured: Configured, make_tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(configured()) as (process, tracker):
        tracker.meet(make_tick(0))

        def fail(_: object) -> None:
            raise RuntimeError("no score")

        monkeypatch.setattr(process._score, "observe", fail)
        tracker.send(make_tick(1))
        assert tracker.state_of(make_tick(1)).valid
        tracker.send(make_tick(2))
        following = [tracker.state()]
        while stamp_ns_of(following[-1].header) != make_tick(2).stamp_ns:
            following.append(tracker.state())
        assert make_tick(1).stamp_ns not in {stamp_ns_of(state.header) for state in following}
        assert following[-1].valid
        assert process.failures.counts["forecast: self-score"] >= 1


def test_a_node_answers_while_its_model_is_loaded_and_says_so(
    running: Running, configured: Configured, make_tick: MakeTick
) -> None:
    loaded = threading.Event()
    with running(configured(), load=lambda: _wait(loaded)) as (process, tracker):
        silent = tracker.state(lambda state: state.reason.startswith("no objects for "))
        assert silent.reason.endswith(" s; the model is not loaded yet")  # so that a standby with a model goes on
        tracker.meet(make_tick(0))
        state = tracker.state_of(make_tick(0))
        assert (state.source, state.reason) == ("fallback", "the model is not loaded yet")
        assert (process.ready(), process.live()) == ("the model is not loaded yet", "")
        loaded.set()
        for step in range(1, 100):
            tracker.send(make_tick(step))
            if tracker.state_of(make_tick(step)).source == "model":
                break
        assert process.ready() == ""


def test_a_model_that_cannot_be_loaded_leaves_the_answers_without_it(
    running: Running, configured: Configured, make_tick: MakeTick
) -> None:
    def load() -> None:
        raise OSError("the disk is gone")

    with running(configured(), load=load) as (process, tracker):
        tracker.meet(make_tick(0))
        tracker.send(make_tick(1))
        state = tracker.state_of(make_tick(1))
        assert (state.source, state.reason) == ("fallback", "the model cannot be loaded: OSError: the disk is gone")
        assert process.ready().startswith("the model cannot be loaded")
        assert process.works()


def test_a_model_that_never_answers_again_ends_the_process_while_ticks_are_answered(
    running: Running, configured: Configured, make_tick: MakeTick, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = configured()
    gate = Gate(node)
    monkeypatch.setattr("perception_nodes.forecasting.model_runner.STUCK_S", 0.5)
    with running(node, deadline_ms=50.0) as (process, tracker):
        tracker.meet(make_tick(0))
        gate.open.clear()
        end, step = time.monotonic() + 20, 0
        while process.works():
            step += 1
            assert time.monotonic() < end
            tracker.send(make_tick(step))
            assert tracker.state_of(make_tick(step)).source == "fallback"
        assert "the model has not answered for" in process.live()
        gate.open.set()


def test_without_objects_a_status_says_so_all_the_time(running: Running, configured: Configured) -> None:
    with running(configured()) as (process, tracker):
        first = tracker.state()
        begin = time.monotonic()
        states = [tracker.state() for _ in range(10)]
        took_s = time.monotonic() - begin
    assert took_s < 10 * 0.3
    for state in (first, *states):
        assert (state.valid, state.source, state.node) == (False, "none", "ego")
        assert state.reason.startswith("no objects for ")
    assert process.registry.get_sample_value("perception_frames_refused_total") == 0


def test_what_cannot_be_answered_is_said_and_the_next_tick_is_answered(
    running: Running, configured: Configured, make_tick: MakeTick, lanes: MapIndex
) -> None:
    with running(configured(mapped=False)) as (process, tracker):
        tracker.meet(make_tick(0))
        tracker.send(make_tick(2), pose=False)
        state = tracker.state_of(make_tick(2))
        assert (state.source, state.valid) == ("fallback", True)
        assert state.reason.startswith("no pose of 'base_link' in 'map' within 0.1 s of the stamp: the newest pose is")
        tracker.objects.put(b"\x00\x01\x00\x00rubbish")
        state = tracker.state(lambda state: "MalformedMessage" in state.reason)
        assert (state.source, state.valid) == ("none", False)
        tracker.send(make_tick(3))
        state = tracker.state_of(make_tick(3))
        assert (state.source, state.reason) == ("fallback", "no map yet")
        tracker.map.put(b"\x00\x01\x00\x00rubbish")
        tracker.send_map(lanes)
        for step in range(4, 60):
            tracker.send(make_tick(step))
            if tracker.state_of(make_tick(step)).source == "model":
                break
        assert process.works()
        metrics = generate_latest(process.registry).decode()
    for cause in ("no_ego_pose", "content"):
        assert f'perception_ticks_without_model_total{{reason="{cause}"}} 1.0' in metrics
    assert 'perception_ticks_total{source="none"} 1.0' in metrics


def test_a_map_that_is_too_large_or_that_fails_is_said_and_the_former_stays_in_use(
    running: Running,
    configured: Configured,
    make_tick: MakeTick,
    lanes: MapIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def map_status(process: ForecastingProcess) -> tuple[Level, str]:
        (status,) = (status for status in process.statuses() if status.name == "forecast: /map/polylines, contents")
        return status.level, status.message

    def eventually_says(process: ForecastingProcess, words: str) -> None:
        end = time.monotonic() + 60
        while words not in map_status(process)[1]:
            assert time.monotonic() < end, map_status(process)
            time.sleep(0.02)

    one = take(lanes.polylines, np.zeros(MAX_POLYLINES + 1, np.int64))
    too_large = MapIndex(replace(one, points=one.points[:, :2]))
    with running(configured()) as (process, tracker):
        tracker.meet(make_tick(0))
        assert map_status(process) == (Level.OK, "OK")
        tracker.map.put(serialize(map_message(too_large, "PIT"), POLYLINE_MAP))
        eventually_says(process, "the former map stays in use: map: expected at most 100000 polylines, got 100001")
        with monkeypatch.context() as patched:
            patched.setattr(VectorNet, "encode_map", _fail)
            tracker.send_map(lanes)
            eventually_says(process, "the former map stays in use: cannot")
        tracker.send(make_tick(1))
        assert tracker.state_of(make_tick(1)).source == "model"
        tracker.send_map(lanes)
        eventually_says(process, "OK")
        assert process.works()
    assert process.registry.get_sample_value("perception_failures_total", {"subject": "/map/polylines"}) == 2


def _wait(event: threading.Event) -> None:
    event.wait(60)


def _fail(*_: object) -> None:
    raise RuntimeError("cannot")


def test_malformed_messages_by_the_hundred_take_few_lines_of_the_log(
    running: Running, configured: Configured, make_tick: MakeTick, caplog: pytest.LogCaptureFixture
) -> None:
    with running(configured()) as (process, tracker):
        tracker.meet(make_tick(0))
        for number in range(545):
            tracker.ego.put(b"\x00\x01\x00\x00rubbish" + bytes([number % 256]))
        end = time.monotonic() + 60
        while (
            process.failures.counts["/localization/kinematic_state"] < 100
        ):  # some are dropped where they come too fast
            assert time.monotonic() < end
            time.sleep(0.02)
        for step in range(1, 100):  # the first poses come after all that rubbish
            tracker.send(make_tick(step))
            if tracker.state_of(make_tick(step)).source == "model":
                break
        assert process.works()
    lines = [record for record in caplog.records if record.getMessage().startswith(ODOMETRY_TOPIC)]
    assert len(lines) == LINES
    assert all(record.exc_info is None for record in lines)


def test_detections_that_cannot_be_used_are_said(
    running: Running, configured: Configured, make_tick: MakeTick, detections_of_tick: Callable[..., Any]
) -> None:
    with running(configured(), objects_type=DETECTIONS) as (process, tracker):
        tracker.meet(make_tick(0))

        def state_after(message: Any, tick: Tick) -> Any:
            tracker.ego.put(serialize(odometry_of(tick), ODOMETRY))
            tracker.objects.put(serialize(message, DETECTIONS))
            return tracker.state_of(tick)

        state = state_after(detections_of_tick(make_tick(1), frame_id="lidar_top"), make_tick(1))
        assert (state.source, state.valid) == ("none", False)
        assert state.reason.startswith("no transform from 'lidar_top' to 'map'")
        half = replace(make_tick(3), ids=("", *make_tick(3).ids[1:]))
        assert state_after(detections_of_tick(half), half).source == "model"
        contents, _ = (status for status in process.statuses() if "contents" in status.name)
        assert (contents.level, contents.message[:32]) == (Level.WARN, "1 of 4 detections have no id; se")


def test_a_reason_is_logged_when_it_begins_and_when_it_is_over(
    running: Running, configured: Configured, make_tick: MakeTick, caplog: pytest.LogCaptureFixture
) -> None:
    node = configured()
    gate = Gate(node)
    with caplog.at_level(logging.INFO), running(node) as (_, tracker):
        tracker.meet(make_tick(0))
        gate.error = RuntimeError("cannot")
        for step in range(1, 4):
            tracker.send(make_tick(step))
            tracker.state_of(make_tick(step))
        gate.error = None
        tracker.send(make_tick(4))
        tracker.state_of(make_tick(4))
    lines = [record.getMessage() for record in caplog.records if "model_failed" in record.getMessage()]
    assert lines == [
        "forecast: model_failed: the model failed: RuntimeError: cannot",
        "forecast: model_failed is over, after 3 ticks; now: model",
    ]
