"""What comes in and goes out; deadlines, standbys, frames and clocks have files of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zenoh
from prometheus_client import generate_latest

from perception.frozen.folded import fold
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.over_zenoh import ZenohBlocks, ZenohBlockWorker
from perception_nodes.forecasting.messages import odometry_of, predicted_objects_of, tick_of, tracked_objects_of
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.tick import Tick
from perception_nodes.operations.diagnostics import DIAGNOSTICS, Level
from perception_nodes.ros.cdr import read_predicted_objects, write_predicted_objects
from perception_nodes.ros.messages import DETECTIONS, deserialize
from perception_nodes.ros.odometry import ego_pose_of

Running = Callable[..., Any]


def core_answers(node: ForecastingNode, ticks: list[Tick]) -> list[bytes]:
    """A node's answers to the same ticks as messages, without transport."""
    node.activate()
    answers = []
    for tick in ticks:
        objects = tracked_objects_of(tick, np.zeros((len(tick), 2)))
        result = node.step(tick_of(objects, ego_pose_of(odometry_of(tick))))
        answers.append(bytes(write_predicted_objects(predicted_objects_of(result))))
    return answers


def test_a_trackers_ticks_come_back_as_the_cores_own_forecasts(
    running: Running,
    configured: Callable[..., ForecastingNode],
    make_tick: Callable[..., Tick],
    lanes: MapIndex,
) -> None:
    ticks = [make_tick(step) for step in range(10)]
    with running(configured(mapped=False), lanes=lanes) as (process, tracker):
        assert process.ready() == "no objects yet"
        answers = [tracker.meet(ticks[0])]
        for tick in ticks[1:]:
            tracker.send(tick)
            answers.append(tracker.forecasts.get(timeout=60))
        state = tracker.state_of(ticks[-1])
        assert (process.ready(), process.live()) == ("", "")
        metrics = generate_latest(process.registry).decode()
        levels = [status.level for status in deserialize(tracker.diagnoses.get(timeout=60), DIAGNOSTICS).status]
    assert answers == core_answers(configured(), ticks)
    assert "perception_frames_answered_total 10.0" in metrics
    assert 'perception_ticks_total{source="model"} 10.0' in metrics
    assert len(levels) > 5  # its own five, and those of its scores
    assert (state.model_id, state.node, state.source, state.reason, state.valid) == ("tiny", "ego", "model", "", True)


def test_only_the_thread_that_answers_runs_before_the_others(
    running: Running, configured: Callable[..., ForecastingNode], make_tick: Callable[..., Tick]
) -> None:
    with running(configured()) as (process, tracker):
        tracker.meet(make_tick(0))
        policies = {}
        for thread in (process._thread, process._runner._thread):
            assert thread.native_id is not None
            policies[thread.name] = os.sched_getscheduler(thread.native_id) & ~os.SCHED_RESET_ON_FORK
    if policies["ForecastingProcess"] == os.SCHED_OTHER:
        pytest.skip("this user may not give real-time priorities")
    assert policies == {"ForecastingProcess": os.SCHED_FIFO, "model": os.SCHED_OTHER}


def test_with_the_block_served_elsewhere_the_forecasts_are_the_same(
    running: Running,
    configured: Callable[..., ForecastingNode],
    tiny: Callable[[], Forecaster],
    sessions: tuple[zenoh.Session, zenoh.Session],
    make_tick: Callable[..., Tick],
) -> None:
    ticks = [make_tick(step) for step in range(8)]
    model = tiny()
    node = configured(model)
    blocks = ZenohBlocks(sessions[0])
    host = BlockHost({"forecast": fold(model.block)})
    model.block = RemoteBlock(blocks, "forecast", timeout_s=10)
    with ZenohBlockWorker(sessions[1], host), running(node) as (_, tracker):
        answers = [tracker.meet(ticks[0])]
        for tick in ticks[1:]:
            tracker.send(tick)
            answers.append(tracker.forecasts.get(timeout=60))
    blocks.close()
    for ours_cdr, core_cdr in zip(answers, core_answers(configured(), ticks), strict=True):
        got, expected = read_predicted_objects(ours_cdr), read_predicted_objects(core_cdr)
        np.testing.assert_array_equal(got.ids, expected.ids)
        np.testing.assert_allclose(got.path_poses, expected.path_poses, rtol=0, atol=1e-3)
    assert host.service.counts.requests == len(ticks)


def test_detections_with_ids_give_the_forecasts_that_tracked_objects_give(
    running: Running, configured: Callable[..., ForecastingNode], make_tick: Callable[..., Tick]
) -> None:
    ticks = [make_tick(step) for step in range(8)]
    with running(configured(), objects="/tracker/detections", objects_type=DETECTIONS) as (process, tracker):
        answers = [tracker.meet(ticks[0])]
        for tick in ticks[1:]:
            tracker.send(tick)
            answers.append(tracker.forecasts.get(timeout=60))
        assert process.ready() == ""
    for ours_cdr, core_cdr in zip(answers, core_answers(configured(), ticks), strict=True):
        got, expected = read_predicted_objects(ours_cdr), read_predicted_objects(core_cdr)
        np.testing.assert_array_equal(got.ids, expected.ids)
        np.testing.assert_array_equal(got.path_counts, expected.path_counts)
        np.testing.assert_allclose(got.path_poses, expected.path_poses, rtol=0, atol=1e-5)


def test_ticks_that_come_together_are_all_answered_in_their_order(
    running: Running, configured: Callable[..., ForecastingNode], make_tick: Callable[..., Tick]
) -> None:
    ticks = [make_tick(step) for step in range(1, 7)]
    with running(configured()) as (_, tracker):
        tracker.meet(make_tick(0))
        for tick in ticks:
            tracker.send(tick)
        answers = [read_predicted_objects(tracker.forecasts.get(timeout=60)) for _ in ticks]
    assert [answer.stamp_ns for answer in answers] == [tick.stamp_ns for tick in ticks]


def test_the_status_of_a_tick_tells_its_time_from_receipt_to_publication(
    running: Running,
    configured: Callable[..., ForecastingNode],
    make_tick: Callable[..., Tick],
) -> None:
    node = configured()
    ask = node.ask

    def slowly(question: Any) -> Any:
        time.sleep(0.05)
        return ask(question)

    node.ask = slowly
    with running(node) as (process, tracker):
        tracker.meet(make_tick(0))
        tracker.send(make_tick(1))
        tracker.send(make_tick(2))  # waits for the one before
        states = [tracker.state_of(make_tick(step)) for step in (1, 2)]
        levels = {status.name: status.level for status in process.statuses()}
    assert 50 <= states[0].latency_ms < 5e3
    assert 90 <= states[1].latency_ms < 5e3
    assert all(abs(state.age_ms) > 1e6 for state in states)  # made stamps are far from the clock
    assert levels["forecast: processing time, ms"] in (Level.OK, Level.WARN)
