import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from perception.encoders.vectornet.network import VectorNet
from perception.encoders.vectornet.views import View
from perception.errors import InputError
from perception.geometry import SE2
from perception.models.forecaster import Forecaster
from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import Scenario
from perception_datasets.argoverse.argoverse2_sensor import read_log
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.history import TrackHistory
from perception_nodes.forecasting.messages import status_of
from perception_nodes.forecasting.node import ForecastingNode, ForecastingSettings
from perception_nodes.forecasting.tick import Reason, Tick
from perception_nodes.operations.lifecycle import LifecycleError

MakeTick = Callable[..., Tick]
MakeModel = Callable[..., Forecaster]
MakeNode = Callable[..., ForecastingNode]
Answer = Callable[..., ForecastResult]
Compare = Callable[[ForecastResult, ForecastResult], None]
STEPS = 6
OF_A_LANE = ("ids", "points", "kinds", "turns", "is_intersection", "has_traffic_control")
every_view = pytest.mark.parametrize("view", get_args(View))
FEW = ForecastingSettings(max_forecasts=8, min_history_steps=1)
"""Nodes warm up for every size, so tests in which the number does not matter ask for few; and for answers at once."""


def test_a_tick_is_answered_with_the_futures_of_its_objects(
    active: MakeNode, make_tick: MakeTick, lanes: MapIndex
) -> None:
    node = active(lanes, clock=lambda: make_tick(0).stamp_ns + 7_000_000)
    result = node.step(make_tick(0))
    assert (result.valid, result.reason, result.model_id, result.dropped_since_last) == (True, "", "tiny", 0)
    assert result.objects.ids == ("car0", "car1", "car2", "cone")
    assert result.sources.tolist() == [Source.MODEL] * 3 + [Source.AT_REST]
    assert result.reasons.tolist() == [Reason.NONE] * 3 + [Reason.KIND]
    assert result.mode_counts.tolist() == [3, 3, 3, 1]
    assert result.trajectories.shape == (4, 3, 10, 2)
    assert (result.trajectories[3] == make_tick(0).position[3]).all()
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-6)
    assert result.age_ms == 7.0
    assert result.latency_ms > 0
    starts = result.trajectories[:, :, 0].mean(axis=1)
    assert np.abs(starts - result.objects.position).max() < 20  # in the city frame


def test_velocity_is_that_of_the_last_steps(
    answer_of_a_fresh_node: Answer, make_tick: MakeTick, lanes: MapIndex
) -> None:
    result = answer_of_a_fresh_node([make_tick(0), make_tick(1)], lanes)
    np.testing.assert_allclose(result.velocity, [[8, 0], [9, 0], [10, 0], [0, 0]], atol=1e-9)


@every_view
def test_a_recorded_log_is_forecast_as_offline(tiny: MakeModel, real_data: Path, view: View) -> None:
    """Compares with the reader's scenario of the window that ends at a tick, with and without its future."""
    folder = sorted((real_data / "argoverse2" / "sensor_logs").iterdir())[0]
    log, model = read_log(folder), tiny(view)
    node = ForecastingNode(ForecastingSettings(min_history_steps=1))
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
            rows = np.array([result.objects.ids.index(scenario.agents.ids[agent]) for agent in asked])
            ours = result.sources[rows] == Source.MODEL
            there = expected.trajectories[ours], expected.probabilities[ours]
            np.testing.assert_allclose(result.trajectories[rows[ours]], there[0], rtol=0, atol=1e-4)
            np.testing.assert_allclose(result.probabilities[rows[ours]], there[1], rtol=0, atol=1e-5)
            assert set(result.reasons[rows[~ours]].tolist()) <= {Reason.AT_REST}
            past, seen = scenario.agents.position[asked[~ours], :20], scenario.agents.valid[asked[~ours], :20]
            assert (np.linalg.norm(past - past[:, -1:], axis=2)[seen] < 0.3).all()  # they stand
            compared += int(ours.sum())
        assert len(result.by_model) == ours.sum()
    assert compared > 50


@every_view
def test_kept_lanes_change_no_forecast(
    tiny: MakeModel, answer_of_a_fresh_node: Answer, make_tick: MakeTick, lanes: MapIndex, view: View
) -> None:
    """The node computes the lanes' features once for a map; a network that computes them anew answers the same."""
    ticks, history = [make_tick(step) for step in range(STEPS)], TrackHistory(STEPS)
    for tick in ticks:
        history.add(tick.take(tick.screened(100).rows))
    result = answer_of_a_fresh_node(ticks, lanes, view)
    tracks = history.tracks()
    near = lanes.near(tracks.position, tracks.valid, 0, STEPS - 1)
    scenario = Scenario("s", "stream", "", tracks, near, STEPS, focal=0, ego=0)
    (fresh,) = tiny(view).forecast([scenario], [np.array([1, 2, 3])])
    np.testing.assert_allclose(result.trajectories[:3], fresh.trajectories, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.probabilities[:3], fresh.probabilities, rtol=0, atol=1e-6)


def test_another_map_or_another_model_makes_new_lanes(
    tiny: MakeModel,
    active: MakeNode,
    answer_of_a_fresh_node: Answer,
    assert_equal: Compare,
    make_tick: MakeTick,
    lanes: MapIndex,
) -> None:
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


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda tick: replace(tick, stamp_ns=-1), "positive stamp"),
        (lambda tick: replace(tick, stamp_ns=tick.stamp_ns - 400_000_000), "sent before"),
        (lambda tick: replace(tick, stamp_ns=tick.stamp_ns - 350_000_000), "older than the newest tick"),
    ],
)
def test_a_tick_that_cannot_be_answered_says_why(
    active: MakeNode, make_tick: MakeTick, lanes: MapIndex, spoil, reason: str
) -> None:
    node = active(lanes)
    for step in (0, 0.5, 1):
        node.step(make_tick(step))
    repeated = make_tick(1) if reason != "sent before" else replace(make_tick(1), stamp_ns=make_tick(5).stamp_ns)
    result = node.step(spoil(repeated))
    assert (result.valid, result.source, len(result.objects), len(result.trajectories)) == (False, "none", 0, 0)
    assert reason in result.reason


def assert_goes_on(result: ForecastResult, tick: Tick, reason: str) -> None:
    """The cars of `make_tick` go on at their velocity, by the fallback."""
    assert (result.valid, result.source, len(result.objects)) == (True, "fallback", 4)
    assert reason in result.reason
    assert result.trajectories.shape[:2] == (4, 1)
    assert result.reasons.tolist() == [Reason.NO_MODEL_ANSWER] * 3 + [Reason.KIND]
    np.testing.assert_allclose(result.velocity, [[8, 0], [9, 0], [10, 0], [0, 0]], atol=1e-6)
    ahead = result.trajectories[:, 0, -1] - tick.position
    np.testing.assert_allclose(ahead, 0.1 * result.trajectories.shape[2] * result.velocity, atol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda tick: replace(tick, city_SE2_ego=SE2(0.0, np.nan, 0.0)), "finite ego pose"),
        (lambda tick: replace(tick, stamp_ns=tick.stamp_ns + 10**12), "its time is beyond the history"),
        (lambda tick: replace(tick, stamp_ns=tick.stamp_ns - 10**12), "its time is beyond the history"),
    ],
)
def test_a_tick_that_the_model_cannot_be_asked_about_is_extrapolated(
    active: MakeNode, make_tick: MakeTick, lanes: MapIndex, spoil, reason: str
) -> None:
    node = active(lanes)
    for step in range(STEPS):
        node.step(make_tick(step))
    for step in (STEPS, STEPS + 1):
        assert_goes_on(node.step(spoil(make_tick(step))), make_tick(step), reason)


def test_before_there_is_a_map_or_a_model_objects_are_extrapolated(
    tiny: MakeModel, answer_of_a_fresh_node: Answer, assert_equal: Compare, make_tick: MakeTick, lanes: MapIndex
) -> None:
    ticks = [make_tick(step) for step in range(STEPS)]
    node = ForecastingNode(FEW)
    node.configure(None, history_steps=STEPS, model_id="tiny", horizon_steps=10)
    node.activate()
    assert_goes_on([node.step(tick) for tick in ticks[:2]][-1], ticks[1], "no map yet")
    node.set_map(lanes)
    assert_goes_on(node.step(ticks[2]), ticks[2], "not loaded yet")
    node.set_model(tiny())
    last = [node.step(tick) for tick in ticks[3:]][-1]
    assert last.dropped_since_last == 0
    assert_equal(last, answer_of_a_fresh_node(ticks, lanes))


def test_a_model_that_raises_is_replaced_by_the_extrapolation(
    tiny: MakeModel, make_tick: MakeTick, lanes: MapIndex, monkeypatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no memory")

    model = tiny()
    node = ForecastingNode(FEW)
    node.configure(model, history_steps=STEPS, model_id="broken")
    node.set_map(lanes)
    node.activate()
    monkeypatch.setattr(model, "forecast", broken)
    results = [node.step(make_tick(step)) for step in range(2)]
    assert_goes_on(results[-1], make_tick(1), "RuntimeError: no memory")


def test_a_question_keeps_the_model_and_the_map_that_it_was_made_for(
    tiny: MakeModel,
    active: MakeNode,
    answer_of_a_fresh_node: Answer,
    assert_equal: Compare,
    make_tick: MakeTick,
    lanes: MapIndex,
) -> None:
    ticks = [make_tick(step) for step in range(STEPS)]
    node = active(lanes)
    for tick in ticks[:-1]:
        node.step(tick)
    pending = node.receive(ticks[-1])
    assert pending.question is not None
    node.set_map(MapIndex(replace(lanes.polylines, points=lanes.polylines.points + 9.0)))
    node.set_model(tiny("agent"))
    assert_equal(node.finish(pending, node.ask(pending.question)), answer_of_a_fresh_node(ticks, lanes))


def test_maps_and_models_may_come_while_ticks_are_answered(
    tiny: MakeModel, active: MakeNode, make_tick: MakeTick, lanes: MapIndex
) -> None:
    node, errors = active(lanes), []
    few = MapIndex(replace(lanes.polylines, **{f: getattr(lanes.polylines, f)[:1] for f in OF_A_LANE}))

    def exchange() -> None:
        try:
            for number in range(4):
                node.set_map(few if number % 2 else lanes)
                node.set_model(tiny())
        except Exception as error:  # shown by the assertion below
            errors.append(error)

    thread = threading.Thread(target=exchange)
    thread.start()
    step = 0
    while thread.is_alive():
        result = node.step(make_tick(step))
        assert (result.valid, result.reason) == (True, "")
        step += 1
    thread.join()
    assert errors == []


def test_nothing_that_extrapolates_imports_torch() -> None:
    modules = ["node", "history", "fallback", "tick", "question", "answer"]
    imports = "; ".join(f"import perception_nodes.forecasting.{module}" for module in modules)
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drops_are_counted_by_stamps_and_by_refusals(active: MakeNode, make_tick: MakeTick, lanes: MapIndex) -> None:
    node = active(lanes)
    assert [node.step(make_tick(step)).dropped_since_last for step in (0, 1, 4, 4, 5)] == [0, 0, 2, 0, 0]
    node.step(make_tick(6, stamp_ns=-1))
    assert node.step(make_tick(7)).dropped_since_last == 1


def test_of_two_thousand_agents_the_nearest_are_forecast_and_all_are_answered(
    active: MakeNode, make_tick: MakeTick, lanes: MapIndex
) -> None:
    settings = ForecastingSettings(max_objects=40, max_forecasts=5, min_history_steps=1)
    node = active(lanes, settings=settings)
    node.step(make_tick(0, cars=2000))
    result = node.step(make_tick(1, cars=2000))
    assert (result.valid, len(result.objects), len(result.by_model)) == (True, 2001, 5)
    assert [result.objects.ids[row] for row in result.by_model] == ["car0", "car1", "car2", "car3", "car4"]
    assert (result.reasons == Reason.LIMIT).sum() > 1900
    np.testing.assert_allclose(result.velocity[50], [58, 0], atol=1e-6)


def test_where_there_are_no_road_users_the_answer_is_valid(
    active: MakeNode, make_tick: MakeTick, lanes: MapIndex
) -> None:
    result = active(lanes).step(make_tick(0, cars=0))
    assert (result.valid, result.reason, result.objects.ids) == (True, "", ("cone",))
    result = active(lanes).step(make_tick(0).take(np.zeros(0, dtype=int)))
    assert (result.valid, result.reason, len(result.objects)) == (True, "", 0)


def test_a_model_that_says_nonsense_is_not_passed_on(tiny: MakeModel, make_tick: MakeTick, lanes: MapIndex) -> None:
    model = tiny()
    next(model.head.parameters()).data.fill_(np.nan)
    node = ForecastingNode(FEW)
    node.configure(model, history_steps=STEPS, model_id="broken")
    node.set_map(lanes)
    node.activate()
    node.step(make_tick(0))
    assert_goes_on(node.step(make_tick(1)), make_tick(1), "the model's futures are not finite")


def test_an_answer_of_another_length_is_not_passed_on(
    tiny: MakeModel, active: MakeNode, make_tick: MakeTick, lanes: MapIndex
) -> None:
    node = active(lanes)
    node.step(make_tick(0))
    pending = node.receive(make_tick(1))
    assert pending.question is not None
    forecast = replace(pending.question, model=tiny(steps=12))
    result = node.finish(pending, node.ask(forecast))
    assert_goes_on(result, make_tick(1), "futures have 12 steps, expected 10")


def test_an_object_is_the_models_once_it_was_seen_for_long_enough(
    active: MakeNode, make_tick: MakeTick, lanes: MapIndex
) -> None:
    node = active(lanes, settings=ForecastingSettings(max_forecasts=8, min_history_steps=4))
    sources, reasons = zip(
        *((r.sources[2], r.reasons[2]) for r in (node.step(make_tick(step, cars=3)) for step in (0, 1, 2, 3, 4))),
        strict=True,
    )
    assert sources == (Source.AT_REST, *[Source.CONSTANT_VELOCITY] * 2, Source.MODEL, Source.MODEL)
    assert reasons == (*[Reason.SHORT_HISTORY] * 3, Reason.NONE, Reason.NONE)


def test_broken_fields_do_not_stop_an_object(active: MakeNode, make_tick: MakeTick, lanes: MapIndex) -> None:
    """Its heading, size or kind is broken; its positions still say where it goes."""
    node = active(lanes)
    for step in range(3):
        tick = make_tick(step)
        heading, kinds, size = tick.heading.copy(), tick.kinds.copy(), tick.size.copy()
        heading[0], kinds[1], size[2] = np.nan, 77, -1.0
        result = node.step(replace(tick, heading=heading, kinds=kinds, size=size))
    assert result.reasons.tolist() == [Reason.BROKEN_FIELD] * 3 + [Reason.KIND]
    np.testing.assert_allclose(result.velocity[:3], [[8, 0], [9, 0], [10, 0]], atol=1e-6)
    assert result.sources.tolist() == [Source.CONSTANT_VELOCITY] * 3 + [Source.AT_REST]


def test_a_node_answers_only_while_it_is_active(
    active: MakeNode, answer_of_a_fresh_node: Answer, assert_equal: Compare, make_tick: MakeTick, lanes: MapIndex
) -> None:
    node = ForecastingNode()
    with pytest.raises(LifecycleError, match="receive: expected an active node, it is unconfigured"):
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


def test_it_warms_up_for_all_sizes_that_it_may_forecast(tiny: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_no_answer_is_not_to_be_acted_on_says_why_and_counts_no_tick(
    active: MakeNode, make_tick: MakeTick, lanes: MapIndex
) -> None:
    node = active(lanes)
    node.step(make_tick(0))
    result = node.no_answer(5, "no objects for 0.4 s")
    status = status_of(result, node="ego")
    assert (result.source, status.source, status.valid) == ("none", "none", False)
    assert (status.reason, status.node, status.model_id) == ("no objects for 0.4 s", "ego", "tiny")
    assert (status.header.stamp.nanosec, len(status.object_sources)) == (5, 0)
    assert node.step(make_tick(1)).dropped_since_last == 0
