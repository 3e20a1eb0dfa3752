"""A forecasting node between topics, and a tracker that talks to it."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    import zenoh

    from perception.encoders.vectornet.views import View
    from perception.models.forecaster import Forecaster
    from perception.traffic.map_index import MapIndex
    from perception.traffic.scenario import Scenario
    from perception_nodes.forecasting.answer import ForecastResult
    from perception_nodes.forecasting.node import ForecastingNode
    from perception_nodes.forecasting.plan import ForecastPlan
    from perception_nodes.forecasting.process import ForecastingProcess
    from perception_nodes.forecasting.tick import Tick
    from perception_nodes.ros.topics import RosNode

STEPS = 6
"""Steps of the tiny model's history."""


class FakeTracker:
    """Sends what a robot's other nodes send, and receives what they receive."""

    def __init__(self, ros: RosNode, plan: ForecastPlan) -> None:
        from perception_nodes.operations.diagnostics import DIAGNOSTICS
        from perception_nodes.ros.messages import FORECAST_STATUS, ODOMETRY, POLYLINE_MAP, PREDICTED_OBJECTS, topic_of
        from perception_nodes.ros.wire import LATCHED

        self.plan, self.ros = plan, ros
        self.process: ForecastingProcess | None = None
        self.has_map = False
        self.forecasts: queue.Queue[bytes] = queue.Queue()
        self.states: queue.Queue[bytes] = queue.Queue()
        self.diagnoses: queue.Queue[bytes] = queue.Queue()
        self.map = ros.publisher(topic_of(plan.map, POLYLINE_MAP, LATCHED))
        self.ego = ros.publisher(topic_of(plan.ego, ODOMETRY))
        self.objects = ros.publisher(topic_of(plan.objects, plan.objects_type))
        for name, kind, inbox in (
            (plan.forecasts, PREDICTED_OBJECTS, self.forecasts),
            (plan.status, FORECAST_STATUS, self.states),
            ("/diagnostics", DIAGNOSTICS, self.diagnoses),
        ):
            ros.subscribe(topic_of(name, kind), lambda received, inbox=inbox: inbox.put(received.cdr))

    def send_map(self, lanes: MapIndex) -> None:
        """Latches a map."""
        self.has_map = True
        from perception_nodes.ros.map_message import map_message
        from perception_nodes.ros.messages import POLYLINE_MAP, serialize

        self.map.put(serialize(map_message(lanes, "PIT"), POLYLINE_MAP))

    def send(self, tick: Tick, *, pose: bool = True, frame_id: str = "map") -> None:
        """Sends a tick with its pose."""
        from perception_nodes.forecasting.messages import odometry_of, tracked_objects_of
        from perception_nodes.ros.cdr import write_tracked_objects
        from perception_nodes.ros.messages import DETECTIONS, ODOMETRY, serialize

        if pose:
            self.ego.put(serialize(odometry_of(tick), ODOMETRY))
        if self.plan.objects_type == DETECTIONS:
            self.objects.put(serialize(detections_of_tick(tick), DETECTIONS))
        else:
            objects = tracked_objects_of(tick, np.zeros((len(tick), 2)), frame_id=frame_id)
            self.objects.put(write_tracked_objects(objects))

    def _introduce(self, process: ForecastingProcess, tick: Tick) -> None:
        """Sends the ego's pose until a process knows it, and has the map that was latched."""
        from perception_nodes.forecasting.messages import odometry_of
        from perception_nodes.ros.messages import ODOMETRY, serialize

        end = time.monotonic() + 60
        while (self.has_map and process._node._equipment.map is None) or not process._frames._odometry:
            assert time.monotonic() < end, "no map and no pose came"
            self.ego.put(serialize(odometry_of(tick), ODOMETRY))
            time.sleep(0.02)

    def meet(self, tick: Tick) -> bytes:
        """Sends a first tick until the two have found each other; the same tick again is not answered.

        The ego's pose comes first: topics find each other one by one, and objects without a pose are not asked about.
        """
        if self.process is not None:
            self._introduce(self.process, tick)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.send(tick)
            try:
                return self.forecasts.get(timeout=0.2)
            except queue.Empty:
                continue
        raise AssertionError("no forecast came")

    def meet_state(self, tick: Tick) -> Any:
        """Sends a first tick until the two have found each other; returns its status."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.send(tick)
            try:
                return self.state_of(tick, timeout_s=0.3)
            except AssertionError:
                continue
        raise AssertionError("no status came")

    def state(self, suits: Callable[[Any], object] = lambda _: True, timeout_s: float = 60.0) -> Any:
        """Returns the next status that suits."""
        from perception_nodes.ros.messages import FORECAST_STATUS, deserialize

        end, seen = time.monotonic() + timeout_s, []
        while (left := end - time.monotonic()) > 0:
            try:
                state = deserialize(self.states.get(timeout=left), FORECAST_STATUS)
            except queue.Empty:
                break
            if suits(state):
                return state
            seen.append((state.source, state.reason))
        raise AssertionError(f"no such status came; the last were {seen[-5:]}")

    def state_of(self, tick: Tick, timeout_s: float = 60.0) -> Any:
        """Returns the status of a tick."""
        from perception_nodes.ros.messages import stamp_ns_of

        return self.state(lambda state: stamp_ns_of(state.header) == tick.stamp_ns, timeout_s)


def detections_of_tick(tick: Tick, *, frame_id: str = "map") -> Any:
    """The tick as a tracker without Autoware would send it."""
    from perception.traffic.scenario import AgentKind
    from perception_nodes.ros.messages import DETECTIONS, header, make

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


@pytest.fixture(scope="session", name="detections_of_tick")
def _detections_of_tick() -> Callable[..., Any]:
    """Turns a tick into a message of detections."""
    return detections_of_tick


@pytest.fixture(scope="session")
def plan() -> ForecastPlan:
    """A plan that takes stamps of any age, since those of made ticks are old."""
    from perception_nodes.forecasting.plan import ForecastPlan

    return ForecastPlan(checkpoint=Path("unused"), max_age_s=float("inf"), max_ahead_s=float("inf"), deadline_ms=10e3)


@pytest.fixture
def sessions(place: str) -> Iterator[tuple[zenoh.Session, zenoh.Session]]:
    """Two peers on loopback, connected to each other."""
    from perception_nodes.ros.topics import open_session

    with open_session(connect=[], listen=[place]) as one, open_session(connect=[place], listen=[]) as other:
        yield one, other


@pytest.fixture(scope="module")
def lanes(make_scenario: Callable[..., Scenario]) -> MapIndex:
    """A small map."""
    from perception.traffic.map_index import MapIndex

    return MapIndex(make_scenario().map)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Forecaster]:
    """Makes a tiny model, the same every time."""
    import torch

    from perception.encoders.vectornet.network import VectorNet
    from perception.frozen.adapter import build_adapter
    from perception.heads.trajectory import TrajectoryDecoder
    from perception.models.forecaster import Forecaster

    def make(view: View = "scene", steps: int = 10) -> Forecaster:
        torch.manual_seed(0)
        encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view=view, max_tokens=12)
        block = build_adapter(16, kind="language", source="random:32x48x4?seed=0", init="default")
        return Forecaster(encoder, block, TrajectoryDecoder(16, modes=3, steps=steps)).eval()

    return make


@pytest.fixture(scope="session")
def active(tiny: Callable[..., Forecaster]) -> Callable[..., ForecastingNode]:
    """Makes an active node with the tiny model of a view, and a map if there is one; it warms up for few objects."""
    from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings

    def make(lanes: MapIndex | None, view: View = "scene", settings: Any = None, **options: Any) -> ForecastingNode:
        node = ForecastingNode(settings or ForecastingSettings(max_forecasts=8, min_history_steps=1), **options)
        node.configure(tiny(view), history_steps=STEPS, model_id="tiny")
        if lanes is not None:
            node.set_map(lanes)
        node.activate()
        return node

    return make


@pytest.fixture(scope="session")
def answer_of_a_fresh_node(active: Callable[..., ForecastingNode]) -> Callable[..., ForecastResult]:
    """Answers the last tick of a stream by a node that has seen these ticks and no others."""

    def answer(ticks: list[Tick], lanes: MapIndex, view: View = "scene") -> ForecastResult:
        node = active(lanes, view)
        return [node.step(tick) for tick in ticks][-1]

    return answer


@pytest.fixture(scope="session")
def assert_equal() -> Callable[[ForecastResult, ForecastResult], None]:
    """Asserts that two answers are valid and have the same futures of the same objects."""

    def compare(result: ForecastResult, expected: ForecastResult) -> None:
        assert (result.valid, expected.valid) == (True, True), result.reason
        assert (result.stamp_ns, result.objects.ids) == (expected.stamp_ns, expected.objects.ids)
        np.testing.assert_array_equal(result.trajectories, expected.trajectories)
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)

    return compare


@pytest.fixture
def configured(tiny: Callable[..., Forecaster], lanes: MapIndex) -> Callable[..., ForecastingNode]:
    """Makes a node with the tiny model; with a map, unless it is to come by message."""
    from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings

    def make(model: Forecaster | None = None, *, mapped: bool = True) -> ForecastingNode:
        node = ForecastingNode(ForecastingSettings(max_forecasts=8, min_history_steps=1))
        node.configure(model or tiny(), history_steps=STEPS, model_id="tiny")
        if mapped:
            node.set_map(lanes)
        return node

    return make


Running = Callable[..., AbstractContextManager[tuple["ForecastingProcess", FakeTracker]]]


@pytest.fixture
def running(sessions: tuple[zenoh.Session, zenoh.Session], plan: ForecastPlan) -> Running:
    """Runs a node's process, and gives it with its tracker; keys of the plan may be given."""
    from perception_nodes.forecasting.process import ForecastingProcess
    from perception_nodes.ros.topics import RosNode
    from perception_nodes.ros.wire import RmwZenoh

    @contextmanager
    def run(
        node: ForecastingNode, *, lanes: MapIndex | None = None, load: Callable[[], None] | None = None, **keys: Any
    ) -> Iterator[tuple[ForecastingProcess, FakeTracker]]:
        own = replace(plan, **keys)
        with (
            RosNode(sessions[1], RmwZenoh(node="tracker")) as theirs,
            RosNode(sessions[0], RmwZenoh(node="ego")) as ros,
        ):
            tracker = FakeTracker(theirs, own)
            if lanes is not None:
                tracker.send_map(lanes)  # latched: the node comes later
            with ForecastingProcess(node, ros, own, load=load) as process:
                tracker.process = process
                yield process, tracker

    return run
