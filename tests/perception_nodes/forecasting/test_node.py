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
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.history import TrackHistory
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
from perception_nodes.forecasting.tick import Tick
from perception_nodes.operations.lifecycle import LifecycleError

MakeTick = Callable[..., Tick]
STEPS = 6
every_view = pytest.mark.parametrize("view", get_args(View))
FEW = ForecastingSettings(max_forecasts=8)
"""Nodes warm up for every size, so tests in which the number does not matter ask for few."""


def tiny(view: View = "scene") -> Forecaster:
    torch.manual_seed(0)
    encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view=view, max_tokens=12)
    block = build_adapter(16, kind="language", source="random:32x48x4?seed=0", init="default")
    return Forecaster(encoder, block, TrajectoryDecoder(16, modes=3, steps=10)).eval()


@pytest.fixture(scope="module")
def lanes(make_scenario: Callable[..., Scenario]) -> MapIndex:
    return MapIndex(make_scenario().map)


def active(
    lanes: MapIndex | None, view: View = "scene", settings: ForecastingSettings = FEW, **options
) -> ForecastingNode:
    node = ForecastingNode(settings, **options)
    node.configure(tiny(view), history_steps=STEPS, model_id="tiny")
    if lanes is not None:
        node.set_map(lanes)
    node.activate()
    return node


def answer_of_a_fresh_node(ticks: list[Tick], lanes: MapIndex, view: View = "scene") -> ForecastResult:
    """The answer to the last tick of a node that has seen these ticks and no others."""
    node = active(lanes, view)
    return [node.step(tick) for tick in ticks][-1]


def assert_equal(result: ForecastResult, expected: ForecastResult) -> None:
    assert (result.valid, expected.valid) == (True, True), result.reason
    assert (result.stamp_ns, result.objects.ids) == (expected.stamp_ns, expected.objects.ids)
    np.testing.assert_array_equal(result.trajectories, expected.trajectories)
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)


def test_a_tick_is_answered_with_the_futures_of_its_road_users(make_tick: MakeTick, lanes: MapIndex) -> None:
    node = active(lanes, clock=lambda: make_tick(0).stamp_ns + 7_000_000)
    result = node.step(make_tick(0))
    assert (result.valid, result.reason, result.model_id, result.dropped_since_last) == (True, "", "tiny", 0)
    assert result.objects.ids == ("car0", "car1", "car2")  # neither the cone nor the ego
    assert result.trajectories.shape == (3, 3, 10, 2)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-6)
    assert result.age_ms == 7.0
    assert result.latency_ms > 0
    starts = result.trajectories[:, :, 0].mean(axis=1)
    assert np.abs(starts - result.objects.position).max() < 20  # in the city frame


def test_velocity_is_that_of_the_last_step(make_tick: MakeTick, lanes: MapIndex) -> None:
    result = answer_of_a_fresh_node([make_tick(0), make_tick(1)], lanes)
    np.testing.assert_allclose(result.velocity, [[8, 0], [9, 0], [10, 0]], atol=1e-9)


@every_view
def test_a_recorded_log_is_forecast_as_offline(real_data: Path, view: View) -> None:
    """Compares with the reader's scenario of the window that ends at a tick, with and without its future."""
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
        result = node.step(Tick(int(log.stamps_ns[step]), pose, ids, *arrays))
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
def test_kept_lanes_change_no_forecast(make_tick: MakeTick, lanes: MapIndex, view: View) -> None:
    """The node computes the lanes' features once for a map; a network that computes them anew answers the same."""
    ticks, history = [make_tick(step) for step in range(STEPS)], TrackHistory(STEPS)
    for tick in ticks:
        history.add(tick.screened(100))
    result = answer_of_a_fresh_node(ticks, lanes, view)
    tracks = history.tracks()
    near = lanes.near(tracks.position, tracks.valid, 0, STEPS - 1)
    scenario = Scenario("s", "stream", "", tracks, near, STEPS, focal=0, ego=0)
    (fresh,) = tiny(view).forecast([scenario], [np.array([1, 2, 3])])
    np.testing.assert_allclose(result.trajectories, fresh.trajectories, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.probabilities, fresh.probabilities, rtol=0, atol=1e-6)


def test_another_map_or_another_model_makes_new_lanes(make_tick: MakeTick, lanes: MapIndex) -> None:
    ticks = [make_tick(step) for step in range(STEPS)]
    moved = MapIndex(replace(lanes.polylines, points=lanes.polylines.points[:, ::-1] + 1.0))
    node = active(lanes)
    for tick in ticks[:-1]:
        node.step(tick)
    node.set_map(moved)
    assert_equal(node.step(ticks[-1]), answer_of_a_fresh_node(ticks, moved))
    node.deactivate()
    node.cleanup()
    other = tiny()
    assert isinstance(other.encoder, VectorNet)
    for parameter in other.encoder.lane_subgraph.parameters():
        parameter.data.mul_(-1.5)
    node.configure(other, history_steps=STEPS, model_id="other")
    node.activate()
    fresh = ForecastingNode(FEW)
    fresh.set_map(moved)
    fresh.configure(other, history_steps=STEPS, model_id="other")
    fresh.activate()
    again = [node.step(tick) for tick in ticks][-1]
    assert again.model_id == "other"
    assert_equal(again, [fresh.step(tick) for tick in ticks][-1])


Fault = Callable[[list[Tick], MakeTick], list[Tick]]
FAULTS: dict[str, Fault] = {
    "drop": lambda ticks, _: ticks[:3] + ticks[4:],
    "duplicate": lambda ticks, _: [tick for tick in ticks for _ in range(2)],
    "reorder": lambda ticks, _: [*ticks[:2], ticks[4], ticks[2], ticks[3], *ticks[5:]],
    "delay": lambda ticks, _: [*ticks[:2], *ticks[3:5], ticks[2], *ticks[5:]],
    "delay beyond the history": lambda ticks, _: [*ticks[:2], *ticks[3:], ticks[2], *ticks[-1:]],
    "jump": lambda ticks, _: [replace(tick, position=tick.position + 5e3 * (i == 3)) for i, tick in enumerate(ticks)],
    "ego jump": lambda ticks, _: [
        replace(tick, city_SE2_ego=SE2(9e5, -9e5, 3.0)) if i == 3 else tick for i, tick in enumerate(ticks)
    ],
    "NaN": lambda ticks, _: [
        replace(tick, position=tick.position * (np.nan if i == 3 else 1)) for i, tick in enumerate(ticks)
    ],
    "inf": lambda ticks, _: [
        replace(tick, heading=tick.heading + (np.inf if i == 3 else 0)) for i, tick in enumerate(ticks)
    ],
    "no ego pose": lambda ticks, _: [
        replace(tick, city_SE2_ego=SE2(np.nan, 0.0, 0.0)) if i == 3 else tick for i, tick in enumerate(ticks)
    ],
    "huge time": lambda ticks, make: [*ticks[:3], make(0, stamp_ns=2**62), *ticks[3:]],
    "time beyond 64 bits": lambda ticks, make: [*ticks[:3], make(0, stamp_ns=2**80), *ticks[3:]],
    "negative time": lambda ticks, make: [*ticks[:3], make(0, stamp_ns=-5), *ticks[3:]],
    "clock step back": lambda ticks, make: [make(1000 + step) for step in range(8)] + ticks,
    "clock step forward": lambda ticks, make: [make(-1000 + step) for step in range(8)] + ticks,
    "2,000 agents": lambda ticks, make: [*ticks[:3], make(3, cars=2000), *ticks[4:]],
    "nobody": lambda ticks, _: [*ticks[:3], ticks[3].take(np.zeros(0, dtype=int)), *ticks[4:]],
}


@pytest.fixture(scope="module", params=get_args(View))
def faultless(
    request: pytest.FixtureRequest, make_tick: MakeTick, lanes: MapIndex
) -> tuple[ForecastingNode, list[Tick], ForecastResult]:
    """A node with one of the views, a stream for it, and the answer to the stream's last tick."""
    ticks = [make_tick(step) for step in range(4 * STEPS)]
    return active(lanes, request.param), ticks, answer_of_a_fresh_node(ticks, lanes, request.param)


@pytest.mark.parametrize("fault", FAULTS)
def test_once_the_history_is_whole_again_a_fault_leaves_no_trace(
    make_tick: MakeTick, faultless: tuple[ForecastingNode, list[Tick], ForecastResult], fault: str
) -> None:
    node, ticks, expected = faultless
    node.deactivate()  # which forgets the ticks of the fault before
    node.activate()
    results = [node.step(tick) for tick in FAULTS[fault](ticks, make_tick)]
    assert_equal(next(r for r in reversed(results) if r.valid), expected)
    assert all(np.isfinite(r.trajectories).all() for r in results)
    assert all(r.reason for r in results if not r.valid)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda tick: replace(tick, stamp_ns=-1), "positive stamp"),
        (lambda tick: replace(tick, city_SE2_ego=SE2(0.0, np.nan, 0.0)), "finite ego pose"),
        (lambda tick: replace(tick, stamp_ns=tick.stamp_ns - 400_000_000), "sent before"),
        (lambda tick: replace(tick, stamp_ns=tick.stamp_ns - 350_000_000), "older than the newest tick"),
        (lambda tick: replace(tick, stamp_ns=tick.stamp_ns + 10**12), "its time is beyond the history"),
    ],
)
def test_a_tick_that_cannot_be_answered_says_why(make_tick: MakeTick, lanes: MapIndex, spoil, reason: str) -> None:
    node = active(lanes)
    for step in (0, 0.5, 1):
        node.step(make_tick(step))
    repeated = make_tick(1) if reason != "sent before" else replace(make_tick(1), stamp_ns=make_tick(5).stamp_ns)
    result = node.step(spoil(repeated))
    assert (result.valid, len(result.objects), len(result.trajectories)) == (False, 0, 0)
    assert reason in result.reason


numbers = st.floats(width=64) | st.floats(-100, 100)
stamps = st.integers(-(2**70), 2**70) | st.integers(0, 30).map(
    lambda step: 1_700_000_000_000_000_000 + step * 50_000_000
)


@pytest.fixture(scope="module")
def one_node(lanes: MapIndex) -> ForecastingNode:
    return active(lanes)


@settings(deadline=None, max_examples=25)
@given(
    ticks=st.lists(
        st.tuples(
            stamps,
            st.tuples(numbers, numbers, numbers),
            st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-2, 12), st.tuples(*[numbers] * 6)), max_size=5),
        ),
        max_size=12,
    )
)
def test_whatever_the_numbers_are_a_tick_is_answered_or_refused_with_a_reason(
    one_node: ForecastingNode, ticks: list
) -> None:
    node = one_node
    node.deactivate()  # which forgets the ticks of the example before
    node.activate()
    for stamp_ns, pose, objects in ticks:
        values = np.array([numbers for _, _, numbers in objects]).reshape(-1, 6)
        ids, kinds = tuple(name for name, _, _ in objects), np.array([kind for _, kind, _ in objects], dtype=np.int64)
        tick = Tick(stamp_ns, SE2(*pose), ids, kinds, values[:, :2], values[:, 2], values[:, 3:])
        result = node.step(tick)
        assert result.valid == (result.reason == "")
        assert np.isfinite(result.trajectories).all()
        assert np.isfinite(result.velocity).all()
        assert set(result.objects.ids) <= set(ids)


def test_before_there_is_a_map_nothing_is_answered_but_all_is_remembered(make_tick: MakeTick, lanes: MapIndex) -> None:
    ticks = [make_tick(step) for step in range(STEPS)]
    node = active(None)
    early = [node.step(tick) for tick in ticks[:-1]]
    assert {(r.valid, r.reason) for r in early} == {(False, "no map yet")}
    node.set_map(lanes)
    last = node.step(ticks[-1])
    assert last.dropped_since_last == STEPS - 1
    assert_equal(last, answer_of_a_fresh_node(ticks, lanes))


def test_drops_are_counted_by_stamps_and_by_refusals(make_tick: MakeTick, lanes: MapIndex) -> None:
    node = active(lanes)
    assert [node.step(make_tick(step)).dropped_since_last for step in (0, 1, 4, 4, 5)] == [0, 0, 2, 0, 0]
    node.step(make_tick(6, stamp_ns=-1))
    assert node.step(make_tick(7)).dropped_since_last == 1


def test_two_thousand_agents_are_answered_for_the_nearest(make_tick: MakeTick, lanes: MapIndex) -> None:
    node = active(lanes, settings=ForecastingSettings(max_objects=40, max_forecasts=5))
    result = node.step(make_tick(0, cars=2000))
    assert (result.valid, result.objects.ids) == (True, ("car0", "car1", "car2", "car3", "car4"))


def test_where_there_are_no_road_users_the_answer_is_empty_and_valid(make_tick: MakeTick, lanes: MapIndex) -> None:
    result = active(lanes).step(make_tick(0, cars=0))
    assert (result.valid, len(result.objects)) == (True, 0)


def test_a_model_that_says_nonsense_is_not_passed_on(make_tick: MakeTick, lanes: MapIndex) -> None:
    model = tiny()
    next(model.head.parameters()).data.fill_(np.nan)
    node = ForecastingNode(FEW)
    node.configure(model, history_steps=STEPS, model_id="broken")
    node.set_map(lanes)
    node.activate()
    result = node.step(make_tick(0))
    assert (result.valid, result.reason) == (False, "the model's futures are not finite")


def test_a_node_answers_only_while_it_is_active(make_tick: MakeTick, lanes: MapIndex) -> None:
    node = ForecastingNode()
    with pytest.raises(LifecycleError, match="step: expected an active node, it is unconfigured"):
        node.step(make_tick(0))
    node = active(lanes)
    for step in range(STEPS):
        node.step(make_tick(step))
    node.deactivate()
    with pytest.raises(LifecycleError, match="inactive"):
        node.step(make_tick(STEPS))
    node.activate()
    assert_equal(node.step(make_tick(9)), answer_of_a_fresh_node([make_tick(9)], lanes))
    node.shutdown()
    with pytest.raises(LifecycleError, match="make a new one"):
        node.activate()


def test_it_warms_up_for_all_sizes_that_it_may_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = tiny(), []
    forecast = model.forecast

    def counted(scenarios, agents, lanes=None):
        sizes.extend(map(len, agents))
        return forecast(scenarios, agents, lanes)

    monkeypatch.setattr(model, "forecast", counted)
    node = ForecastingNode(ForecastingSettings(max_forecasts=40))
    node.configure(model, history_steps=STEPS, model_id="tiny")
    assert sizes == list(model.warm_up_agents(41))
    assert len(sizes) > 1


def test_bounds_must_be_positive() -> None:
    with pytest.raises(InputError, match="max_forecasts: expected at least 1, got 0"):
        ForecastingSettings(max_forecasts=0)
