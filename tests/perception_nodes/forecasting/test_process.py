from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zenoh
from prometheus_client import generate_latest

from perception.encoders.vectornet.network import VectorNet
from perception.frozen.adapter import build_adapter
from perception.frozen.folded import fold
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex, take
from perception.traffic.scenario import AgentKind, Scenario
from perception_nodes.block.client import RemoteBlock
from perception_nodes.block.host import BlockHost
from perception_nodes.block.over_zenoh import ZenohBlocks, ZenohBlockWorker
from perception_nodes.failure_log import LINES
from perception_nodes.forecasting.messages import odometry_of, predicted_objects_of, tick_of, tracked_objects_of
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
from perception_nodes.forecasting.plan import ForecastPlan
from perception_nodes.forecasting.process import ForecastingProcess
from perception_nodes.forecasting.tick import Tick
from perception_nodes.operations.diagnostics import DIAGNOSTICS, Level
from perception_nodes.ros.cdr import read_predicted_objects, write_predicted_objects, write_tracked_objects
from perception_nodes.ros.map_message import MAX_POLYLINES, map_message
from perception_nodes.ros.messages import (
    DETECTIONS,
    FORECAST_STATUS,
    ODOMETRY,
    POLYLINE_MAP,
    PREDICTED_OBJECTS,
    TRACKED_OBJECTS,
    deserialize,
    header,
    make,
    serialize,
    topic_of,
)
from perception_nodes.ros.odometry import ego_pose_of
from perception_nodes.ros.topics import RosNode, open_session
from perception_nodes.ros.wire import LATCHED, RmwZenoh

PLAN = ForecastPlan(checkpoint=Path("unused"))
STEPS = 6


def tiny() -> Forecaster:
    torch.manual_seed(0)
    encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view="scene", max_tokens=12)
    block = build_adapter(16, kind="language", source="random:32x48x4?seed=0", init="default")
    return Forecaster(encoder, block, TrajectoryDecoder(16, modes=3, steps=10)).eval()


def configured(model: Forecaster) -> ForecastingNode:
    node = ForecastingNode(ForecastingSettings(max_forecasts=8))
    node.configure(model, history_steps=STEPS, model_id="tiny")
    return node


class FakeTracker:
    """Sends what a robot's other nodes send, and receives what they receive."""

    def __init__(self, ros: RosNode, plan: ForecastPlan = PLAN) -> None:
        self.objects_type = plan.objects_type
        self.forecasts: queue.Queue[bytes] = queue.Queue()
        self.states: queue.Queue[bytes] = queue.Queue()
        self.diagnoses: queue.Queue[bytes] = queue.Queue()
        self.map = ros.publisher(topic_of(PLAN.map, POLYLINE_MAP, LATCHED))
        self.ego = ros.publisher(topic_of(PLAN.ego, ODOMETRY))
        self.objects = ros.publisher(topic_of(plan.objects, plan.objects_type))
        for name, kind, inbox in (
            (PLAN.forecasts, PREDICTED_OBJECTS, self.forecasts),
            (PLAN.status, FORECAST_STATUS, self.states),
            ("/diagnostics", DIAGNOSTICS, self.diagnoses),
        ):
            ros.subscribe(topic_of(name, kind), lambda received, inbox=inbox: inbox.put(received.cdr))

    def send(self, tick: Tick, pose: bool = True) -> None:
        if pose:
            self.ego.put(serialize(odometry_of(tick), ODOMETRY))
        if self.objects_type == TRACKED_OBJECTS:
            self.objects.put(write_tracked_objects(tracked_objects_of(tick, np.zeros((len(tick), 2)))))
        else:
            self.objects.put(serialize(detections_of_tick(tick), DETECTIONS))


def detections_of_tick(tick: Tick, *, frame_id: str = "map") -> Any:
    """The tick as a tracker without Autoware would send it."""
    about = header(tick.stamp_ns, frame_id)
    word = {AgentKind.VEHICLE: "car", AgentKind.CONSTRUCTION: "hazard"}  # Autoware has no word for a cone
    detections = []
    for name, kind, (x, y), heading, size in zip(
        tick.ids, tick.kinds, tick.position, tick.heading, tick.size, strict=True
    ):
        turn = {"x": 0.0, "y": 0.0, "z": np.sin(heading / 2), "w": np.cos(heading / 2)}
        pose = make(
            "geometry_msgs/msg/Pose",
            position=make("geometry_msgs/msg/Point", x=x, y=y, z=0.0),
            orientation=make("geometry_msgs/msg/Quaternion", **turn),
        )
        best = make(
            "vision_msgs/msg/ObjectHypothesisWithPose",
            hypothesis=make("vision_msgs/msg/ObjectHypothesis", class_id=word[AgentKind(kind)], score=0.9),
            pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
        )
        extent = make("geometry_msgs/msg/Vector3", **dict(zip("xyz", size, strict=True)))
        box = make("vision_msgs/msg/BoundingBox3D", center=pose, size=extent)
        detections.append(make("vision_msgs/msg/Detection3D", header=about, results=[best], bbox=box, id=name))
    return make(DETECTIONS, header=about, detections=detections)


@pytest.fixture
def sessions() -> Iterator[tuple[zenoh.Session, zenoh.Session]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = f"tcp/127.0.0.1:{free.getsockname()[1]}"
    with open_session(connect=[], listen=[place]) as one, open_session(connect=[place], listen=[]) as other:
        yield one, other


@pytest.fixture(scope="module")
def lanes(make_scenario: Callable[..., Scenario]) -> MapIndex:
    return MapIndex(make_scenario().map)


def core_answers(ticks: list[Tick], lanes: MapIndex) -> list[bytes]:
    """The node's answers to the same ticks as messages, without transport."""
    node = configured(tiny())
    node.set_map(lanes)
    node.activate()
    answers = []
    for tick in ticks:
        objects = tracked_objects_of(tick, np.zeros((len(tick), 2)))
        result = node.step(tick_of(objects, ego_pose_of(odometry_of(tick))))
        answers.append(bytes(write_predicted_objects(predicted_objects_of(result))))
    return answers


def wait_for_tick(tracker: FakeTracker, tick: Tick) -> bytes:
    """Sends a first tick until the two have found each other; the same tick again is not answered."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        tracker.send(tick)
        try:
            return tracker.forecasts.get(timeout=0.2)
        except queue.Empty:
            continue
    raise AssertionError("no forecast came")


def test_a_trackers_ticks_come_back_as_the_cores_own_forecasts(
    sessions: tuple[zenoh.Session, zenoh.Session], make_tick: Callable[..., Tick], lanes: MapIndex
) -> None:
    ticks = [make_tick(step) for step in range(10)]
    with RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs, RosNode(sessions[0], RmwZenoh()) as ours:
        tracker = FakeTracker(theirs)
        tracker.map.put(serialize(map_message(lanes, "PIT"), POLYLINE_MAP))  # latched: the node comes later
        with ForecastingProcess(configured(tiny()), ours, PLAN) as process:
            assert process.ready() == "no objects yet"
            time.sleep(1)
            answers = [wait_for_tick(tracker, ticks[0])]
            for tick in ticks[1:]:
                tracker.send(tick)
                answers.append(tracker.forecasts.get(timeout=10))
            assert (process.ready(), process.live()) == ("", "")
            metrics = generate_latest(process.registry).decode()
            levels = [status.level for status in deserialize(tracker.diagnoses.get(timeout=5), DIAGNOSTICS).status]
    assert answers == core_answers(ticks, lanes)
    assert "perception_frames_answered_total 10.0" in metrics
    assert len(levels) == 4
    assert deserialize(tracker.states.get(timeout=5), FORECAST_STATUS).model_id == "tiny"


def test_with_the_block_served_elsewhere_the_forecasts_are_the_same(
    sessions: tuple[zenoh.Session, zenoh.Session], make_tick: Callable[..., Tick], lanes: MapIndex
) -> None:
    ticks = [make_tick(step) for step in range(8)]
    model = tiny()
    node = configured(model)
    blocks = ZenohBlocks(sessions[0])
    host = BlockHost({"forecast": fold(model.block)})
    model.block = RemoteBlock(blocks, "forecast", timeout_s=10)
    with (
        ZenohBlockWorker(sessions[1], host),
        RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs,
        RosNode(sessions[0], RmwZenoh()) as ours,
        ForecastingProcess(node, ours, PLAN),
    ):
        tracker = FakeTracker(theirs)
        tracker.map.put(serialize(map_message(lanes, "PIT"), POLYLINE_MAP))
        time.sleep(1)
        answers = [wait_for_tick(tracker, ticks[0])]
        for tick in ticks[1:]:
            tracker.send(tick)
            answers.append(tracker.forecasts.get(timeout=10))
    blocks.close()
    for ours_cdr, core_cdr in zip(answers, core_answers(ticks, lanes), strict=True):
        got, expected = read_predicted_objects(ours_cdr), read_predicted_objects(core_cdr)
        np.testing.assert_array_equal(got.ids, expected.ids)
        np.testing.assert_allclose(got.path_poses, expected.path_poses, rtol=0, atol=1e-3)
    assert host.service.counts.requests == len(ticks)


def test_what_cannot_be_answered_is_said_and_the_next_tick_is_answered(
    sessions: tuple[zenoh.Session, zenoh.Session], make_tick: Callable[..., Tick], lanes: MapIndex
) -> None:
    def eventually_ready(process: ForecastingProcess, word: str, act: Callable[[], None]) -> None:
        end = time.monotonic() + 10
        while word not in process.ready():
            assert time.monotonic() < end, process.ready()
            act()
            time.sleep(0.1)

    with (
        RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs,
        RosNode(sessions[0], RmwZenoh()) as ours,
        ForecastingProcess(configured(tiny()), ours, PLAN) as process,
    ):
        tracker = FakeTracker(theirs)
        eventually_ready(process, "no ego pose", lambda: tracker.send(make_tick(0), pose=False))
        eventually_ready(process, "MalformedMessage", lambda: tracker.objects.put(b"\x00\x01\x00\x00rubbish"))
        eventually_ready(process, "no map yet", lambda: tracker.send(make_tick(1)))
        tracker.map.put(b"\x00\x01\x00\x00rubbish")
        tracker.map.put(serialize(map_message(lanes, "PIT"), POLYLINE_MAP))
        time.sleep(0.5)
        tracker.send(make_tick(2))
        assert len(read_predicted_objects(tracker.forecasts.get(timeout=10))) == 3
        assert process.works()
    assert "perception_frames_answered_total 1.0" in generate_latest(process.registry).decode()


def test_a_map_that_is_too_large_or_that_fails_is_said_and_the_former_stays_in_use(
    sessions: tuple[zenoh.Session, zenoh.Session],
    make_tick: Callable[..., Tick],
    lanes: MapIndex,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def map_status(process: ForecastingProcess) -> tuple[Level, str]:
        (status,) = (status for status in process.statuses() if status.name == f"forecast: {PLAN.map}, contents")
        return status.level, status.message

    def eventually_says(process: ForecastingProcess, words: str) -> None:
        end = time.monotonic() + 30
        while words not in map_status(process)[1]:
            assert time.monotonic() < end, map_status(process)
            time.sleep(0.02)

    one = take(lanes.polylines, np.zeros(MAX_POLYLINES + 1, np.int64))
    too_large = MapIndex(replace(one, points=one.points[:, :2]))
    node = configured(tiny())
    node.set_map(lanes)
    with (
        RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs,
        RosNode(sessions[0], RmwZenoh()) as ours,
        ForecastingProcess(node, ours, PLAN) as process,
    ):
        tracker = FakeTracker(theirs)
        wait_for_tick(tracker, make_tick(0))
        assert map_status(process) == (Level.OK, "OK")
        tracker.map.put(serialize(map_message(too_large, "PIT"), POLYLINE_MAP))
        eventually_says(process, "the former map stays in use: map: expected at most 100000 polylines, got 100001")
        with monkeypatch.context() as patched:
            patched.setattr(VectorNet, "encode_map", fail)
            tracker.map.put(serialize(map_message(lanes, "PIT"), POLYLINE_MAP))
            eventually_says(process, "the former map stays in use: cannot")
        tracker.send(make_tick(1))
        assert len(read_predicted_objects(tracker.forecasts.get(timeout=10))) == 3
        tracker.map.put(serialize(map_message(lanes, "PIT"), POLYLINE_MAP))
        eventually_says(process, "OK")
        assert process.works()
    assert process.registry.get_sample_value("perception_failures_total", {"subject": PLAN.map}) == 2


def fail(*_: object) -> None:
    raise RuntimeError("cannot")


def test_malformed_messages_by_the_hundred_take_few_lines_of_the_log(
    sessions: tuple[zenoh.Session, zenoh.Session],
    make_tick: Callable[..., Tick],
    lanes: MapIndex,
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = configured(tiny())
    node.set_map(lanes)
    with (
        RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs,
        RosNode(sessions[0], RmwZenoh()) as ours,
        ForecastingProcess(node, ours, PLAN) as process,
    ):
        tracker = FakeTracker(theirs)
        wait_for_tick(tracker, make_tick(0))
        for number in range(545):
            tracker.ego.put(b"\x00\x01\x00\x00rubbish" + bytes([number % 256]))
        end = time.monotonic() + 30
        while ours.failures.counts[PLAN.ego] < 100:  # some are dropped where they come faster than they are refused
            assert time.monotonic() < end
            time.sleep(0.02)
        tracker.send(make_tick(1))
        assert len(read_predicted_objects(tracker.forecasts.get(timeout=10))) == 3
        assert process.works()
    lines = [record for record in caplog.records if record.getMessage().startswith(PLAN.ego)]
    assert len(lines) == LINES
    assert all(record.exc_info is None for record in lines)


def test_of_ticks_that_come_too_fast_the_newest_is_answered(
    sessions: tuple[zenoh.Session, zenoh.Session], make_tick: Callable[..., Tick], lanes: MapIndex
) -> None:
    class Slow(torch.nn.Module):
        def __init__(self, block: torch.nn.Module) -> None:
            super().__init__()
            self.block = block

        def forward(self, *asked) -> torch.Tensor:
            time.sleep(0.3)
            return self.block(*asked)

    model = tiny()
    node = configured(model)
    model.add_module("block", Slow(model.block))
    node.set_map(lanes)
    with (
        RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs,
        RosNode(sessions[0], RmwZenoh()) as ours,
        ForecastingProcess(node, ours, PLAN) as process,
    ):
        tracker = FakeTracker(theirs)
        wait_for_tick(tracker, make_tick(0))
        time.sleep(1)
        for step in range(1, STEPS + 1):
            tracker.send(make_tick(step))
        last = b""
        while True:
            try:
                last = tracker.forecasts.get(timeout=1.5)
            except queue.Empty:
                break
    assert read_predicted_objects(last).stamp_ns == make_tick(STEPS).stamp_ns
    lines = generate_latest(process.registry).decode().splitlines()
    (dropped,) = (line for line in lines if line.startswith("perception_frames_dropped "))
    assert float(dropped.split()[1]) >= STEPS - 3


def test_detections_with_ids_give_the_forecasts_that_tracked_objects_give(
    sessions: tuple[zenoh.Session, zenoh.Session], make_tick: Callable[..., Tick], lanes: MapIndex
) -> None:
    plan = replace(PLAN, objects="/tracker/detections", objects_type=DETECTIONS)
    ticks = [make_tick(step) for step in range(8)]
    node = configured(tiny())
    node.set_map(lanes)
    with (
        RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs,
        RosNode(sessions[0], RmwZenoh()) as ours,
        ForecastingProcess(node, ours, plan) as process,
    ):
        tracker = FakeTracker(theirs, plan)
        answers = [wait_for_tick(tracker, ticks[0])]
        for tick in ticks[1:]:
            tracker.send(tick)
            answers.append(tracker.forecasts.get(timeout=10))
        assert process.ready() == ""
    for ours_cdr, core_cdr in zip(answers, core_answers(ticks, lanes), strict=True):
        got, expected = read_predicted_objects(ours_cdr), read_predicted_objects(core_cdr)
        rows, wanted = (np.lexsort(objects.ids.T) for objects in (got, expected))  # the node sorts by id
        np.testing.assert_array_equal(got.ids[rows], expected.ids[wanted])
        np.testing.assert_allclose(got.velocities[rows], expected.velocities[wanted], rtol=0, atol=1e-9)
        paths, core_paths = (objects.path_poses.reshape(len(objects), -1, 7) for objects in (got, expected))
        np.testing.assert_allclose(paths[rows], core_paths[wanted], rtol=0, atol=1e-5)


def test_detections_that_cannot_be_used_are_said(
    sessions: tuple[zenoh.Session, zenoh.Session], make_tick: Callable[..., Tick], lanes: MapIndex
) -> None:
    plan = replace(PLAN, objects_type=DETECTIONS)
    node = configured(tiny())
    node.set_map(lanes)
    with (
        RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs,
        RosNode(sessions[0], RmwZenoh()) as ours,
        ForecastingProcess(node, ours, plan) as process,
    ):
        tracker = FakeTracker(theirs, plan)
        wait_for_tick(tracker, make_tick(0))

        def ready_after(message: Any, tick: Tick) -> str:
            before = process.ready()
            tracker.ego.put(serialize(odometry_of(tick), ODOMETRY))
            tracker.objects.put(serialize(message, DETECTIONS))
            end = time.monotonic() + 10
            while process.ready() == before:
                assert time.monotonic() < end, before
                time.sleep(0.02)
            return process.ready()

        elsewhere = detections_of_tick(make_tick(1), frame_id="lidar_top")
        assert "objects in frame 'lidar_top', ego pose in 'map'" in ready_after(elsewhere, make_tick(1))
        nameless = replace(make_tick(2), ids=("",) * len(make_tick(2)))
        assert "4 of 4 detections have no id" in ready_after(detections_of_tick(nameless), nameless)
        half = replace(make_tick(3), ids=("", *make_tick(3).ids[1:]))
        assert ready_after(detections_of_tick(half), half) == ""
        contents, _ = (status for status in process.statuses() if "contents" in status.name)
        assert (contents.level, contents.message[:32]) == (Level.WARN, "1 of 4 detections have no id; se")
