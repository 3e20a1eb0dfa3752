from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.encoders.vectornet.network import VectorNet
from perception.encoders.vectornet.views import View
from perception.errors import InputError
from perception.frozen.adapter import build_adapter
from perception.geometry import SE2
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import Scenario
from perception_datasets.argoverse.argoverse2_sensor import read_log
from perception_nodes.forecasting.frames import TrackedFrame
from perception_nodes.forecasting.history import TrackHistory
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings, ForecastResult
from perception_nodes.operations.lifecycle import LifecycleError

MakeFrame = Callable[..., TrackedFrame]
STEPS = 6
every_view = pytest.mark.parametrize("view", get_args(View))


def tiny(view: View = "scene") -> Forecaster:
    torch.manual_seed(0)
    encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view=view, max_tokens=12)
    block = build_adapter(16, kind="language", source="random:32x48x4?seed=0", init="default")
    return Forecaster(encoder, block, TrajectoryDecoder(16, modes=3, steps=10)).eval()


@pytest.fixture(scope="module")
def lanes(make_scenario: Callable[..., Scenario]) -> MapIndex:
    return MapIndex(make_scenario().map)


def active(lanes: MapIndex | None, view: View = "scene", **options) -> ForecastingNode:
    node = ForecastingNode(**options)
    node.configure(tiny(view), history_steps=STEPS, model_id="tiny")
    if lanes is not None:
        node.set_map(lanes)
    node.activate()
    return node


def offline(frames: list[TrackedFrame], lanes: MapIndex, view: View = "scene") -> ForecastResult:
    """A fresh node's answer to the last frame: all it knows is the frames given."""
    node = active(lanes, view)
    return [node.step(f) for f in frames][-1]


def assert_equal(result: ForecastResult, expected: ForecastResult) -> None:
    assert (result.valid, expected.valid) == (True, True), result.reason
    assert (result.stamp_ns, result.objects.ids) == (expected.stamp_ns, expected.objects.ids)
    np.testing.assert_array_equal(result.trajectories, expected.trajectories)
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)


def test_a_frame_is_answered_with_the_futures_of_its_road_users(make_frame: MakeFrame, lanes: MapIndex) -> None:
    node = active(lanes, clock=lambda: make_frame(0).stamp_ns + 7_000_000)
    result = node.step(make_frame(0))
    assert (result.valid, result.reason, result.model_id, result.dropped_since_last) == (True, "", "tiny", 0)
    assert result.objects.ids == ("car0", "car1", "car2")  # neither the cone nor the ego
    assert result.trajectories.shape == (3, 3, 10, 2)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-6)
    assert result.age_ms == 7.0
    assert result.latency_ms > 0
    starts = result.trajectories[:, :, 0].mean(axis=1)
    assert np.abs(starts - result.objects.position).max() < 20  # in the city frame


def test_velocity_is_that_of_the_last_step(make_frame: MakeFrame, lanes: MapIndex) -> None:
    result = offline([make_frame(0), make_frame(1)], lanes)
    np.testing.assert_allclose(result.velocity, [[8, 0], [9, 0], [10, 0]], atol=1e-9)


@every_view
def test_a_recorded_log_is_forecast_as_offline(real_data: Path, view: View) -> None:
    """The window that ends at each frame, by the reader's scenario with and without its future."""
    folder = sorted((real_data / "argoverse2" / "sensor_logs").iterdir())[0]
    log, model = read_log(folder), tiny(view)
    node = ForecastingNode()
    node.configure(model, history_steps=20, model_id="tiny")
    node.set_map(log.map)
    node.activate()
    compared = 0
    for step in range(24):
        seen = np.flatnonzero(log.valid[:, step])[1:]
        x, y = log.position[0, step]
        pose = SE2(x, y, log.heading[0, step])
        ids = tuple(log.ids[agent] for agent in seen)
        arrays = log.kinds[seen], log.position[seen, step], log.heading[seen, step], log.size[seen]
        result = node.step(TrackedFrame(int(log.stamps_ns[step]), pose, ids, *arrays))
        if step not in (19, 23):
            continue
        for future_steps in (60, 0):
            scenario = log.scenario(step - 19, history_steps=20, future_steps=future_steps)
            asked = np.flatnonzero(scenario.agents.scored)[1:]
            (expected,) = model.forecast([scenario], [asked])
            rows = [result.objects.ids.index(scenario.agents.ids[agent]) for agent in asked]
            np.testing.assert_allclose(result.trajectories[rows], expected.trajectories, rtol=0, atol=1e-4)
            np.testing.assert_allclose(result.probabilities[rows], expected.probabilities, rtol=0, atol=1e-5)
            compared += len(asked)
        assert len(result.objects) == len(asked)
    assert compared > 100


@every_view
def test_kept_lanes_change_no_forecast(make_frame: MakeFrame, lanes: MapIndex, view: View) -> None:
    """The node computes the lanes' features once a map; a network that sees them afresh says the same."""
    frames, history = [make_frame(step) for step in range(STEPS)], TrackHistory(STEPS)
    for f in frames:
        history.add(f.screened(100))
    result = offline(frames, lanes, view)
    tracks = history.tracks()
    near = lanes.near(tracks.position, tracks.valid, 0, STEPS - 1)
    scenario = Scenario("s", "stream", "", tracks, near, STEPS, focal=0, ego=0)
    (fresh,) = tiny(view).forecast([scenario], [np.array([1, 2, 3])])
    np.testing.assert_allclose(result.trajectories, fresh.trajectories, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.probabilities, fresh.probabilities, rtol=0, atol=1e-6)


def test_another_map_or_another_model_makes_new_lanes(make_frame: MakeFrame, lanes: MapIndex) -> None:
    frames = [make_frame(step) for step in range(STEPS)]
    moved = MapIndex(replace(lanes.polylines, points=lanes.polylines.points[:, ::-1] + 1.0))
    node = active(lanes)
    for f in frames[:-1]:
        node.step(f)
    node.set_map(moved)
    assert_equal(node.step(frames[-1]), offline(frames, moved))
    node.deactivate()
    node.cleanup()
    other = tiny()
    assert isinstance(other.encoder, VectorNet)
    for parameter in other.encoder.lane_subgraph.parameters():
        parameter.data.mul_(-1.5)
    node.configure(other, history_steps=STEPS, model_id="other")
    node.activate()
    fresh = ForecastingNode()
    fresh.set_map(moved)
    fresh.configure(other, history_steps=STEPS, model_id="other")
    fresh.activate()
    again = [node.step(f) for f in frames][-1]
    assert again.model_id == "other"
    assert_equal(again, [fresh.step(f) for f in frames][-1])


Fault = Callable[[list[TrackedFrame], MakeFrame], list[TrackedFrame]]
FAULTS: dict[str, Fault] = {
    "drop": lambda frames, _: frames[:3] + frames[4:],
    "duplicate": lambda frames, _: [f for f in frames for _ in range(2)],
    "reorder": lambda frames, _: [*frames[:2], frames[4], frames[2], frames[3], *frames[5:]],
    "delay": lambda frames, _: [*frames[:2], *frames[3:5], frames[2], *frames[5:]],
    "delay beyond the history": lambda frames, _: [*frames[:2], *frames[3:], frames[2], *frames[-1:]],
    "jump": lambda frames, _: [replace(f, position=f.position + 5e3 * (i == 3)) for i, f in enumerate(frames)],
    "ego jump": lambda frames, _: [
        replace(f, city_SE2_ego=SE2(9e5, -9e5, 3.0)) if i == 3 else f for i, f in enumerate(frames)
    ],
    "NaN": lambda frames, _: [
        replace(f, position=f.position * (np.nan if i == 3 else 1)) for i, f in enumerate(frames)
    ],
    "inf": lambda frames, _: [replace(f, heading=f.heading + (np.inf if i == 3 else 0)) for i, f in enumerate(frames)],
    "no ego pose": lambda frames, _: [
        replace(f, city_SE2_ego=SE2(np.nan, 0.0, 0.0)) if i == 3 else f for i, f in enumerate(frames)
    ],
    "huge time": lambda frames, make: [*frames[:3], make(0, stamp_ns=2**62), *frames[3:]],
    "time beyond 64 bits": lambda frames, make: [*frames[:3], make(0, stamp_ns=2**80), *frames[3:]],
    "negative time": lambda frames, make: [*frames[:3], make(0, stamp_ns=-5), *frames[3:]],
    "clock step back": lambda frames, make: [make(1000 + step) for step in range(8)] + frames,
    "clock step forward": lambda frames, make: [make(-1000 + step) for step in range(8)] + frames,
    "2,000 agents": lambda frames, make: [*frames[:3], make(3, cars=2000), *frames[4:]],
    "nobody": lambda frames, _: [*frames[:3], frames[3].take(np.zeros(0, dtype=int)), *frames[4:]],
}


@every_view
@pytest.mark.parametrize("fault", FAULTS)
def test_once_the_history_is_whole_again_a_fault_leaves_no_trace(
    make_frame: MakeFrame, lanes: MapIndex, fault: str, view: View
) -> None:
    frames = [make_frame(step) for step in range(4 * STEPS)]
    node = active(lanes, view)
    results = [node.step(f) for f in FAULTS[fault](frames, make_frame)]
    assert_equal(next(r for r in reversed(results) if r.valid), offline(frames, lanes, view))
    assert all(np.isfinite(r.trajectories).all() for r in results)
    assert all(r.reason for r in results if not r.valid)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: replace(f, stamp_ns=-1), "positive stamp"),
        (lambda f: replace(f, city_SE2_ego=SE2(0.0, np.nan, 0.0)), "finite ego pose"),
        (lambda f: replace(f, stamp_ns=f.stamp_ns - 400_000_000), "sent before"),
        (lambda f: replace(f, stamp_ns=f.stamp_ns - 350_000_000), "older than the newest frame"),
        (lambda f: replace(f, stamp_ns=f.stamp_ns + 10**12), "its time is beyond the history"),
    ],
)
def test_a_frame_that_cannot_be_answered_says_why(make_frame: MakeFrame, lanes: MapIndex, spoil, reason: str) -> None:
    node = active(lanes)
    for step in (0, 0.5, 1):
        node.step(make_frame(step))
    repeated = make_frame(1) if reason != "sent before" else replace(make_frame(1), stamp_ns=make_frame(5).stamp_ns)
    result = node.step(spoil(repeated))
    assert (result.valid, len(result.objects), len(result.trajectories)) == (False, 0, 0)
    assert reason in result.reason


numbers = st.floats(width=64) | st.floats(-100, 100)
stamps = st.integers(-(2**70), 2**70) | st.integers(0, 30).map(
    lambda step: 1_700_000_000_000_000_000 + step * 50_000_000
)


@settings(deadline=None, max_examples=25)
@given(
    frames=st.lists(
        st.tuples(
            stamps,
            st.tuples(numbers, numbers, numbers),
            st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-2, 12), st.tuples(*[numbers] * 6)), max_size=5),
        ),
        max_size=12,
    )
)
def test_whatever_the_numbers_are_a_frame_is_answered_or_refused_with_a_reason(lanes: MapIndex, frames: list) -> None:
    node = active(lanes)
    for stamp_ns, pose, objects in frames:
        values = np.array([numbers for _, _, numbers in objects]).reshape(-1, 6)
        ids, kinds = tuple(name for name, _, _ in objects), np.array([kind for _, kind, _ in objects], dtype=np.int64)
        frame = TrackedFrame(stamp_ns, SE2(*pose), ids, kinds, values[:, :2], values[:, 2], values[:, 3:])
        result = node.step(frame)
        assert result.valid == (result.reason == "")
        assert np.isfinite(result.trajectories).all()
        assert np.isfinite(result.velocity).all()
        assert set(result.objects.ids) <= set(ids)


def test_before_there_is_a_map_nothing_is_answered_but_all_is_remembered(
    make_frame: MakeFrame, lanes: MapIndex
) -> None:
    frames = [make_frame(step) for step in range(STEPS)]
    node = active(None)
    early = [node.step(f) for f in frames[:-1]]
    assert {(r.valid, r.reason) for r in early} == {(False, "no map yet")}
    node.set_map(lanes)
    last = node.step(frames[-1])
    assert last.dropped_since_last == STEPS - 1
    assert_equal(last, offline(frames, lanes))


def test_drops_are_counted_by_stamps_and_by_refusals(make_frame: MakeFrame, lanes: MapIndex) -> None:
    node = active(lanes)
    assert [node.step(make_frame(step)).dropped_since_last for step in (0, 1, 4, 4, 5)] == [0, 0, 2, 0, 0]
    node.step(make_frame(6, stamp_ns=-1))
    assert node.step(make_frame(7)).dropped_since_last == 1


def test_two_thousand_agents_are_answered_for_the_nearest(make_frame: MakeFrame, lanes: MapIndex) -> None:
    node = active(lanes, settings=ForecastingSettings(max_objects=40, max_forecasts=5))
    result = node.step(make_frame(0, cars=2000))
    assert (result.valid, result.objects.ids) == (True, ("car0", "car1", "car2", "car3", "car4"))


def test_where_there_are_no_road_users_the_answer_is_empty_and_valid(make_frame: MakeFrame, lanes: MapIndex) -> None:
    result = active(lanes).step(make_frame(0, cars=0))
    assert (result.valid, len(result.objects)) == (True, 0)


def test_a_model_that_says_nonsense_is_not_passed_on(make_frame: MakeFrame, lanes: MapIndex) -> None:
    model = tiny()
    next(model.head.parameters()).data.fill_(np.nan)
    node = ForecastingNode()
    node.configure(model, history_steps=STEPS, model_id="broken")
    node.set_map(lanes)
    node.activate()
    result = node.step(make_frame(0))
    assert (result.valid, result.reason) == (False, "the model's futures are not finite")


def test_a_node_answers_only_while_it_is_active(make_frame: MakeFrame, lanes: MapIndex) -> None:
    node = ForecastingNode()
    with pytest.raises(LifecycleError, match="step: expected an active node, it is unconfigured"):
        node.step(make_frame(0))
    node = active(lanes)
    for step in range(STEPS):
        node.step(make_frame(step))
    node.deactivate()
    with pytest.raises(LifecycleError, match="inactive"):
        node.step(make_frame(STEPS))
    node.activate()
    assert_equal(node.step(make_frame(9)), offline([make_frame(9)], lanes))
    node.shutdown()
    with pytest.raises(LifecycleError, match="make a new one"):
        node.activate()


def test_bounds_must_be_positive() -> None:
    with pytest.raises(InputError, match="max_forecasts: expected at least 1, got 0"):
        ForecastingSettings(max_forecasts=0)
