"""Whole streams through the node: ticks at any rate, lost ticks, recorded logs, a clock that is set."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.baselines.constant_velocity import constant_velocity
from perception.encoders.vectornet.network import VectorNet
from perception.frozen.adapter import build_adapter
from perception.geometry import SE2
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex
from perception_datasets.argoverse.argoverse2_sensor import SensorLog, read_log
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
from perception_nodes.forecasting.tick import Reason, Tick, TrackedMotion

START_NS = 1_700_000_000_000_000_000
STEPS, AHEAD = 20, 30
FEW = ForecastingSettings(max_forecasts=8)


@pytest.fixture(scope="module")
def model() -> Forecaster:
    torch.manual_seed(0)
    encoder = VectorNet(dim=16, subgraph_widths=(4, 8, 8), heads=2, view="pairwise", max_tokens=12)
    block = build_adapter(16, kind="language", source="random:32x48x4?seed=0", init="default")
    return Forecaster(encoder, block, TrajectoryDecoder(16, modes=3, steps=AHEAD)).eval()


def node_with(model: Forecaster | None, lanes: MapIndex | None) -> ForecastingNode:
    node = ForecastingNode(FEW)
    node.configure(model, history_steps=STEPS, model_id="tiny", horizon_steps=AHEAD)
    if lanes is not None:
        node.set_map(lanes)
    node.activate()
    return node


def cars_at(seconds: float, stamp_ns: int, *, told: bool = False) -> Tick:
    """Two cars at 15 m/s, one straight and one on an arc, and the ego behind them; all are at the origin at 0 s."""
    rate = 0.2
    position = np.array(
        [
            [15 * seconds, 0.0],
            [15 / rate * np.sin(rate * seconds), 15 / rate * (1 - np.cos(rate * seconds)) + 8],
        ]
    )
    heading = np.array([0.0, rate * seconds])
    motion = None
    if told:
        velocity = 15 * np.stack([np.cos(heading), np.sin(heading)], axis=1)
        motion = TrackedMotion(velocity, np.array([0.0, rate]), np.ones(2, bool), np.zeros(2, bool))
    ego = SE2(15 * seconds - 20, -4.0, 0.0)
    return Tick(stamp_ns, ego, ("a", "b"), np.zeros(2, int), position, heading, np.ones((2, 3)), motion)


def end_after(
    node: ForecastingNode, seconds: np.ndarray, *, clock_s: float = 0.0, told: bool = False
) -> ForecastResult:
    """The answer to the last of ticks at some times; the clock is set by an amount before the last second of them."""
    result = None
    for time_s in seconds:
        shift_s = clock_s if time_s > seconds[-1] - 1.0 else 0.0
        result = node.step(cars_at(time_s, START_NS + round((time_s + shift_s) * 1e9), told=told))
    assert result is not None
    return result


def assert_ends_alike(result: ForecastResult, expected: ForecastResult, tolerance_m: float = 0.2) -> None:
    assert (result.valid, result.reason, result.sources.tolist()) == (True, "", [Source.MODEL] * 2)
    apart = np.linalg.norm(result.trajectories - expected.trajectories, axis=-1)
    assert apart.max() < tolerance_m


@pytest.fixture(scope="module")
def at_10_hz(model: Forecaster, lanes: MapIndex) -> ForecastResult:
    return end_after(node_with(model, lanes), np.arange(-30, 1) / 10)


@pytest.mark.parametrize("rate_hz", [5, 6.5, 9.98, 10, 10.03, 10.4, 20, 50, 100])
def test_the_rate_of_a_stream_changes_no_forecast_of_even_motion(
    model: Forecaster, lanes: MapIndex, at_10_hz: ForecastResult, rate_hz: float
) -> None:
    seconds = np.arange(-round(3 * rate_hz), 1) / rate_hz
    node = node_with(None, lanes)
    for time_s in seconds[:-1]:
        node.receive(cars_at(time_s, START_NS + round(time_s * 1e9)))
    node.set_model(model)
    assert_ends_alike(node.step(cars_at(0.0, START_NS)), at_10_hz)


@pytest.mark.parametrize("seed", range(6))
def test_irregular_ticks_change_no_forecast_of_even_motion(
    model: Forecaster, lanes: MapIndex, at_10_hz: ForecastResult, seed: int
) -> None:
    intervals = np.random.default_rng(seed).choice((0.02, 0.1, 0.18), 50)
    node = node_with(None, lanes)
    for time_s in np.cumsum(intervals) - sum(intervals) - 0.1:
        node.receive(cars_at(time_s, START_NS + round(time_s * 1e9)))
    node.set_model(model)
    assert_ends_alike(node.step(cars_at(0.0, START_NS)), at_10_hz)


@pytest.mark.parametrize("clock_s", [-100.0, -1.5, 100.0, 10_000.0])
def test_a_clock_that_is_set_changes_no_forecast_once_the_history_is_long_enough(
    model: Forecaster, lanes: MapIndex, clock_s: float
) -> None:
    node = node_with(model, lanes)
    result = end_after(node, np.arange(-30, 1) / 10, clock_s=clock_s)
    assert_ends_alike(result, end_after(node_with(model, lanes), np.arange(-9, 1) / 10), 1e-6)


@pytest.mark.parametrize("told", [False, True])
def test_while_the_clock_is_being_set_objects_go_on(lanes: MapIndex, model: Forecaster, told: bool) -> None:
    """Straight on to the metre, and on the arc at least as well as straight on."""
    node = node_with(model, lanes)
    for step in range(-30, 0):
        node.step(cars_at(0.1 * step, START_NS + step * 10**8, told=told))
    for step in range(5):
        tick = cars_at(0.1 * step, START_NS + (step + 70_000) * 10**8, told=told)
        result = node.step(tick)
        assert (result.valid, set(result.sources.tolist()) & {Source.MODEL, Source.AT_REST}) == (True, set())
        true = cars_at(0.1 * step + 3.0, 1).position
        off = np.linalg.norm(result.trajectories[:, 0, -1] - true, axis=1)
        straight = tick.position + 45 * np.stack([np.cos(tick.heading), np.sin(tick.heading)], axis=1)
        assert off[0] < 0.2
        assert off[1] < 1.1 * np.linalg.norm(straight[1] - true[1])


def test_the_same_log_in_a_loop_gives_the_same_forecasts(model: Forecaster, lanes: MapIndex) -> None:
    node = node_with(model, lanes)
    rounds = [[node.step(cars_at(0.1 * i, START_NS + i * 10**8)) for i in range(25)] for _ in range(2)]
    for first, second in zip(*(results[-14:] for results in rounds), strict=True):
        if (first.sources == Source.MODEL).all():
            assert_ends_alike(second, first, 1e-6)
    assert all(result.valid for results in rounds for result in results)


@pytest.mark.parametrize("lost", [1, 5, 9])
def test_after_lost_ticks_the_model_sees_the_motion_that_it_saw_before(
    model: Forecaster, lanes: MapIndex, at_10_hz: ForecastResult, lost: int
) -> None:
    seconds = np.concatenate([np.arange(-30, -lost), [0]]) / 10
    assert_ends_alike(end_after(node_with(model, lanes), seconds), at_10_hz, 0.4)


@pytest.mark.parametrize("told", [False, True])
def test_after_a_long_hole_the_tracker_and_what_comes_next_say_how_an_object_moves(
    model: Forecaster, lanes: MapIndex, told: bool
) -> None:
    node = node_with(model, lanes)
    end_after(node, np.arange(-40, -13) / 10, told=told)
    for step in range(5):
        result = node.step(cars_at(0.1 * step, START_NS + step * 10**8, told=told))
        assert result.reasons.tolist() == [Reason.HOLE] * 2
        if told or step:
            true = cars_at(0.1 * step + 3.0, 1).position
            off = np.linalg.norm(result.trajectories[:, 0, -1] - true, axis=1)
            assert off[0] < 0.2
            assert off[1] < 1.1 * 13.4  # straight on from the arc is 13.4 m off
    assert node.step(cars_at(0.5, START_NS + 5 * 10**8, told=told)).reasons.tolist() == [Reason.NONE] * 2


def test_a_parked_car_that_trembles_stays_and_one_that_starts_is_the_models(model: Forecaster, lanes: MapIndex) -> None:
    rng, node = np.random.default_rng(3), node_with(model, lanes)
    for step in range(-60, 8):
        starts = 0.5 * max(0.0, 0.1 * step) ** 2
        position = np.array([[10.0, 0.0], [20.0 + starts, 8.0]]) + rng.normal(0, 0.02, (2, 2))
        tick = replace(cars_at(0.0, START_NS + step * 10**8), position=position)
        result = node.step(tick)
        if step < -40:
            continue
        assert result.sources[0] == Source.AT_REST
        far = np.linalg.norm(result.trajectories[0] - position[0], axis=-1)
        assert far[result.probabilities[0] > 0.01].max() < 0.5
        if step <= 0:
            assert (result.sources[1], result.reasons[1]) == (Source.AT_REST, Reason.AT_REST)
        if step >= 6:
            assert result.sources[1] == Source.MODEL


@pytest.fixture(scope="module")
def recorded(real_data: Path) -> list[SensorLog]:
    return [read_log(folder) for folder in sorted((real_data / "argoverse2" / "sensor_logs").iterdir())]


def tick_of(log: SensorLog, step: int) -> Tick:
    seen = np.flatnonzero(log.valid[:, step])[1:]
    x, y = log.position[0, step]
    pose, ids = SE2(x, y, log.heading[0, step]), tuple(log.ids[agent] for agent in seen)
    arrays = log.kinds[seen], log.position[seen, step], log.heading[seen, step], log.size[seen]
    return Tick(int(log.stamps_ns[step]), pose, ids, *arrays)


@settings(max_examples=6)
@given(seed=st.integers(0, 1000), share=st.sampled_from((0.0, 0.3, 0.6, 0.8)))
def test_with_lost_ticks_recorded_objects_are_extrapolated_no_worse_than_at_constant_velocity(
    recorded: list[SensorLog], seed: int, share: float
) -> None:
    """Constant velocity has the whole log; the node's errors after 3 s may be 10 % larger in the mean."""
    rng = np.random.default_rng(seed)
    log = recorded[seed % len(recorded)]
    present = int(rng.integers(STEPS + 5, log.valid.shape[1] - AHEAD))
    node, result = node_with(None, None), None
    for step in range(present - STEPS, present + 1):
        if step == present or rng.random() >= share:
            result = node.step(tick_of(log, step))
    assert result is not None
    scenario = log.scenario(present - STEPS + 1, history_steps=STEPS, future_steps=AHEAD)
    agents = np.flatnonzero(scenario.agents.scored & scenario.agents.valid[:, :STEPS].all(axis=1))[1:]
    rows = [result.objects.ids.index(scenario.agents.ids[agent]) for agent in agents]
    true = scenario.agents.position[agents, -1]
    constant = np.linalg.norm(constant_velocity(scenario, agents).trajectories[:, 0, -1] - true, axis=1)
    ours = np.linalg.norm(result.trajectories[rows, 0, -1] - true, axis=1)
    assert ours.mean() < 1.1 * constant.mean() + 0.1
