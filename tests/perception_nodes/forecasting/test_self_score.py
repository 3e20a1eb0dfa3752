from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from prometheus_client import CollectorRegistry, generate_latest

from perception.errors import InputError
from perception.geometry import SE2
from perception.metrics.forecasting import score_forecast
from perception.traffic.scenario import AgentKind
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.self_score import MAX_TICKS, SelfScore, SelfScoreSettings
from perception_nodes.forecasting.tick import Tick

START_NS = 1_700_000_000_000_000_000
MODES, STEPS = 3, 40


def path(time_s: float) -> Float[np.ndarray, "3 2"]:
    """A car that brakes, a bus that turns, a pedestrian; 6 km from the map's origin."""
    bus = (30 * np.sin(0.2 * time_s), 30 - 30 * np.cos(0.2 * time_s))
    return 6000.0 + np.array([(12 * time_s - 1.5 * time_s**2, 0.0), bus, (0.0, -1.4 * time_s)])


def answer(
    time_s: float,
    *,
    ids: Sequence[str] = ("car", "bus", "walker"),
    sources: Sequence[int] = (0, 0, 0),
    seed: int = 0,
    stamp_ns: int | None = None,
    modes: int = MODES,
    steps: int = STEPS,
) -> ForecastResult:
    """What a node could say of these objects then: futures that are wrong by some metres."""
    rng = np.random.default_rng((seed, round(1e3 * time_s)))
    rows = [("car", "bus", "walker").index(name) for name in ids]
    position, count = path(time_s)[rows], len(ids)
    kinds = np.array([AgentKind.VEHICLE, AgentKind.BUS, AgentKind.PEDESTRIAN])[rows]
    stamp_ns = START_NS + round(1e9 * time_s) if stamp_ns is None else stamp_ns
    drift = rng.normal(0, 2, (count, modes, 1, 2)) * np.arange(1, steps + 1)[:, None] / 10
    return ForecastResult(
        stamp_ns=stamp_ns,
        objects=Tick(
            stamp_ns, SE2(6000.0, 6000.0, 0.0), tuple(ids), kinds, position, np.zeros(count), np.ones((count, 3))
        ),
        velocity=np.zeros((count, 2)),
        trajectories=position[:, None, None] + drift,
        probabilities=rng.dirichlet(np.ones(modes), count),
        mode_counts=np.full(count, modes),
        sources=np.array(sources[:count]),
        reasons=np.zeros(count, np.int64),
        left_out=0,
        model_id="made",
        valid=True,
        reason="",
        age_ms=0.0,
        latency_ms=1.0,
        dropped_since_last=0,
    )


def observed(answers: Sequence[ForecastResult], **settings: float) -> SelfScore:
    score = SelfScore(SelfScoreSettings(**settings))  # pyright: ignore[reportArgumentType]
    for result in answers:
        score.observe(result)
    return score


def at_rate(rate_hz: float, seconds: float = 6.0) -> list[ForecastResult]:
    return [answer(step / rate_hz) for step in range(round(seconds * rate_hz))]


def scored_offline(answers: Sequence[ForecastResult], steps: int, k: int) -> dict[str, float]:
    """Means by `perception.metrics.forecasting` over the answers whose future the stream shows."""
    last_s = (answers[-1].stamp_ns - START_NS) / 1e9
    columns = []
    for result in answers:
        begin_s = (result.stamp_ns - START_NS) / 1e9
        if begin_s + steps / 10 < last_s + 1e-6:
            truth = np.stack([path(begin_s + (i + 1) / 10) for i in range(steps)], axis=1)
            scores = score_forecast(result.trajectories[:, :, :steps], result.probabilities, truth, k)
            columns.append(np.stack([scores.min_ade, scores.min_fde, scores.miss], axis=1))
    return dict(zip(("min_ade", "min_fde", "miss"), np.concatenate(columns).mean(axis=0).tolist(), strict=True))


@pytest.mark.parametrize("second", [1, 2, 3])
def test_scores_are_those_of_the_offline_metrics_on_the_same_futures(second: int) -> None:
    answers = at_rate(10)
    found = observed(answers).summary()["all"][f"{second}s"]
    one, all_modes = (scored_offline(answers, 10 * second, k) for k in (1, MODES))
    assert (found["objects"], found["unscored"]) == (3 * (60 - 10 * second), 0)
    expected = [*one.values(), *all_modes.values()]
    names = ("ade", "fde", "miss_rate", "min_ade", "min_fde", "min_miss_rate")
    np.testing.assert_allclose([found[name] for name in names], expected, atol=1e-5)


@pytest.mark.parametrize("rate_hz", [5, 20, 15, 7.3])
def test_at_other_rates_the_truth_is_interpolated_between_ticks(rate_hz: float) -> None:
    """The sharpest bend here is 3 m/s², so that 0.2 s between two ticks hide 1.5 cm at most."""
    answers = at_rate(rate_hz)
    found, expected = observed(answers).summary()["all"]["3s"], scored_offline(answers, 30, 1)
    assert found["objects"] >= 3 * (len(answers) - round(3 * rate_hz) - 2)
    assert found["unscored"] == 0
    assert found["fde"] == pytest.approx(expected["min_fde"], abs=0.25)  # another answer more or less


@given(lost=st.sets(st.integers(1, 58), max_size=12), rate_hz=st.sampled_from([10.0, 12.5, 20.0]))
@settings(max_examples=20)
def test_a_perfect_forecast_is_found_perfect_whatever_ticks_are_lost(lost: set[int], rate_hz: float) -> None:
    """Objects in uniform motion, of which interpolation knows everything."""
    ahead = np.arange(1, STEPS + 1)[:, None] / 10

    def perfect(step: int) -> ForecastResult:
        result = answer(step / rate_hz, modes=1)
        speed = np.array([(9.0, 0.0), (0.0, -5.0), (1.0, 1.0)])
        position = 6000.0 + speed * step / rate_hz
        objects = replace(result.objects, position=position)
        futures = (position[:, None] + speed[:, None] * ahead)[:, None]
        return replace(result, objects=objects, trajectories=futures)

    kept = [perfect(step) for step in range(60) if step not in lost]
    score = observed(kept)
    for horizon in score.summary()["all"].values():
        for name, value in horizon.items():
            assert name in ("objects", "unscored", "expected", "observed") or value < 1e-4, (name, horizon)
    assert score.summary()["interruptions"] == sum(
        after.stamp_ns - before.stamp_ns > 350_000_000 for before, after in pairwise(kept)
    )


def test_a_lost_tick_costs_no_scores_and_a_long_pause_is_an_interruption() -> None:
    answers = at_rate(10)
    whole = observed(answers).summary()
    holed = observed(answers[:20] + answers[21:]).summary()
    assert holed["all"]["1s"]["objects"] == whole["all"]["1s"]["objects"] - 3
    assert (holed["all"]["1s"]["unscored"], holed["interruptions"]) == (0, 0)
    paused = observed(answers[:20] + answers[30:]).summary()
    assert paused["interruptions"] == 1
    assert paused["all"]["1s"]["objects"] == 3 * (10 + 20)
    assert paused["all"]["1s"]["unscored"] == 3 * 10
    strict = observed(answers[:20] + answers[21:], longest_bridge_steps=1.5).summary()
    assert strict["interruptions"] == 1


def test_an_object_that_vanishes_is_counted_and_not_scored() -> None:
    answers = [answer(t / 10, ids=("car", "bus", "walker") if t < 15 else ("car", "walker")) for t in range(50)]
    by_kind = observed(answers).summary()["by_kind"]
    assert [(by_kind["bus"][f"{s}s"]["objects"], by_kind["bus"][f"{s}s"]["unscored"]) for s in (1, 2, 3)] == [
        (5, 10),
        (0, 15),
        (0, 15),
    ]
    assert (by_kind["vehicle"]["3s"]["objects"], by_kind["vehicle"]["3s"]["unscored"]) == (20, 0)


def test_an_object_that_flickers_is_scored_from_its_neighbouring_ticks() -> None:
    answers = [answer(t / 10, ids=("car", "walker") if t == 12 else ("car", "bus", "walker")) for t in range(30)]
    bus = observed(answers).summary()["by_kind"]["bus"]["1s"]
    # Of the answers of 20 ticks, that of tick 12 has no bus, and one second after tick 2 is tick 12.
    assert (bus["objects"], bus["unscored"]) == (18, 1)
    known = observed(at_rate(10, 3.0)).summary()["by_kind"]["bus"]["1s"]
    assert bus["fde"] == pytest.approx(known["fde"], abs=0.5)


@pytest.mark.parametrize("shift_s", [-3600.0, 3600.0, -0.2])
def test_a_clock_that_is_set_drops_what_waits_and_nothing_is_compared_across_it(shift_s: float) -> None:
    before, after = at_rate(10, 2.5), at_rate(10, 2.5)
    moved = [replace(result, stamp_ns=result.stamp_ns + round(1e9 * shift_s) + 2_500_000_000) for result in after]
    found = observed(before + moved).summary()
    alone = observed(before).summary()["all"]["2s"]
    assert found["interruptions"] == 1
    assert found["all"]["2s"]["objects"] == 2 * alone["objects"]
    assert found["all"]["2s"]["fde"] == pytest.approx(alone["fde"], abs=1e-4)
    assert found["all"]["3s"]["unscored"] == 3 * 25


def test_what_came_from_where_and_about_what_is_told_apart() -> None:
    answers = [answer(t / 10, sources=(Source.MODEL, Source.CONSTANT_TURN, Source.AT_REST)) for t in range(40)]
    answers = [replace(r, mode_counts=np.array([MODES, 1, 1])) for r in answers]
    summary = observed(answers).summary()
    assert set(summary["by_source"]) == {"model", "constant_turn", "at_rest"}
    assert set(summary["by_source"]["model"]["by_kind"]) == {"vehicle"}
    assert summary["by_source"]["constant_turn"]["3s"] == summary["by_kind"]["bus"]["3s"]
    assert "most_likely_is_nearest" in summary["by_kind"]["vehicle"]
    assert "most_likely_is_nearest" not in summary["by_kind"]["bus"]  # one mode has nothing to promise
    total = sum(source["3s"]["objects"] for source in summary["by_source"].values())
    assert total == summary["all"]["3s"]["objects"]


def test_change_is_that_of_the_consistency_metric_between_forecasts_a_step_apart() -> None:
    shifted = []
    for step in range(4):
        result = answer(step / 10, modes=1)
        straight = np.arange(1, STEPS + 1)[:, None] / 10 * np.ones(2)
        futures = result.objects.position[:, None, None] + straight
        shifted.append(replace(result, trajectories=futures))
    moves = [path((step + 1) / 10) - path(step / 10) - 0.1 for step in range(3)]
    expected = np.mean([np.linalg.norm(move, axis=1) for move in moves])
    change = observed(shifted).summary()["all"]["change_m"]
    assert change["objects"] == 9
    assert change["most_likely"] == pytest.approx(expected, abs=1e-4)
    assert change["best_matching"] == pytest.approx(expected, abs=1e-4)


def test_at_twice_the_rate_change_is_still_measured_over_a_whole_step() -> None:
    assert observed(at_rate(20, 1.0)).summary()["all"]["change_m"]["objects"] == 3 * 18
    assert "change_m" not in observed(at_rate(10, 0.1)).summary()["all"]


def test_invalid_answers_tell_nothing_and_repeated_ids_and_those_beyond_the_limit_are_counted() -> None:
    answers = at_rate(10, 2.0)
    broken = [replace(result, valid=False) for result in answers]
    assert observed(broken).summary()["all"]["1s"]["objects"] == 0
    twice = [answer(t / 10, ids=("car", "car", "bus")) for t in range(20)]
    found = observed(twice).summary()
    assert (found["not_followed"], found["by_kind"]["vehicle"]["1s"]["objects"]) == (20, 10)
    few = observed(answers, max_objects=1).summary()
    assert few["not_followed"] == 2 * 20
    assert 8 <= few["all"]["1s"]["objects"] <= 10  # another object may have become the nearest meanwhile


def test_a_model_that_looks_ahead_less_than_a_horizon_is_not_scored_there() -> None:
    summary = observed([answer(t / 10, steps=20) for t in range(40)]).summary()["all"]
    assert [summary[f"{s}s"]["objects"] for s in (1, 2, 3)] == [90, 60, 0]
    assert summary["3s"]["unscored"] == 0


def test_memory_is_bounded_when_ids_never_come_again_and_when_ticks_come_at_100_hz() -> None:
    score = SelfScore(SelfScoreSettings(max_objects=3))
    for step in range(400):
        result = answer(step / 100)
        fresh = replace(result.objects, ids=tuple(f"{name}{step}" for name in result.objects.ids))
        score.observe(replace(result, objects=fresh))
    summary = score.summary()
    assert summary["pending_ticks"] <= MAX_TICKS
    assert len(score._seen._slot_of) <= 12
    assert summary["all"]["1s"]["objects"] == 0
    assert summary["not_followed"] > 0


def test_bounds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="max_objects: expected at least 1, got 0"):
        SelfScoreSettings(max_objects=0)
    with pytest.raises(InputError, match=r"longest_bridge_steps: expected 1 to below 30, got 0\.5"):
        SelfScoreSettings(longest_bridge_steps=0.5)


def test_metrics_are_registered_and_their_labels_are_bounded() -> None:
    registry = CollectorRegistry()
    score = SelfScore(registry=registry)
    for result in at_rate(10, 4.0):
        score.observe(result)
    text = generate_latest(registry).decode()
    assert 'perception_self_score_objects_total{horizon="3s",kind="bus",source="model"} 10.0' in text
    assert text.count("perception_self_score_objects_total{") == 9
