from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.metrics.consistency import forecast_consistency
from perception.metrics.forecasting import score_forecast
from perception_datasets.argoverse.argoverse2_sensor import SensorLog, read_log
from perception_nodes.forecasting.answer import ForecastResult, Source
from perception_nodes.forecasting.node import ForecastingNode
from perception_nodes.forecasting.score_table import SCORES
from perception_nodes.forecasting.self_score import SelfScore, SelfScoreSettings
from perception_tools.forecasting.model import TrainedForecaster, load_model
from perception_tools.forecasting.replay import Played
from perception_tools.forecasting.streaming.drive import frames_of_log
from perception_tools.forecasting.streaming.playback import (
    ReplayClock,
    difference_to_offline,
    latency_summary,
    mean_consistency,
    play_in_real_time,
    play_lockstep,
    score_of,
)

MakeNode = Callable[[], tuple[ForecastingNode, ReplayClock]]


@pytest.fixture(scope="module")
def log(sensor_log: Path) -> SensorLog:
    return read_log(sensor_log)


@pytest.fixture(scope="module")
def trained(trained_run: Path) -> TrainedForecaster:
    return load_model(trained_run)


@pytest.fixture
def play(log: SensorLog, make_replay_node: MakeNode) -> Callable[[], list[ForecastResult]]:
    return lambda: play_lockstep(*make_replay_node(), frames_of_log(log), lambda *_: None)


def test_every_frame_is_answered_in_order_at_the_time_of_its_stamp(log: SensorLog, make_replay_node: MakeNode) -> None:
    recorded: list[tuple[int, ForecastResult]] = []
    node, clock = make_replay_node()
    record = lambda frame, result: recorded.append((frame.stamp_ns, result))  # noqa: E731
    results = play_lockstep(node, clock, frames_of_log(log), record)
    assert recorded == [(result.stamp_ns, result) for result in results]
    assert [result.stamp_ns for result in results] == log.stamps_ns.tolist()
    assert {result.age_ms for result in results} == {0.0}
    assert all(result.valid for result in results)


def test_the_stream_says_what_offline_evaluation_says(
    play: Callable, log: SensorLog, trained: TrainedForecaster
) -> None:
    difference = difference_to_offline(log, play(), trained.model, 20)
    assert difference is not None
    assert (difference.windows, difference.forecasts + difference.by_fallback) == (11, 11 * 3)
    assert difference.forecasts > 20
    assert difference.max_m < 1e-5
    assert difference.max_probability < 1e-6


def test_what_is_extrapolated_is_counted_and_not_compared(
    play: Callable, log: SensorLog, trained: TrainedForecaster
) -> None:
    results = play()
    whole = difference_to_offline(log, results, trained.model, 20)
    row = results[25].by_model[1]
    sources, wrong = results[25].sources.copy(), results[25].trajectories.copy()
    sources[row], wrong[row] = Source.CONSTANT_VELOCITY, 0.0
    results[25] = replace(results[25], sources=sources, trajectories=wrong)
    difference = difference_to_offline(log, results, trained.model, 20)
    assert whole is not None
    assert difference is not None
    assert (difference.forecasts, difference.by_fallback) == (whole.forecasts - 1, whole.by_fallback + 1)
    assert difference.max_m < 1e-5


def test_a_difference_to_offline_is_found_where_there_is_one(
    play: Callable, log: SensorLog, trained: TrainedForecaster
) -> None:
    results = play()
    wrong = results[25].trajectories.copy()
    wrong[results[25].by_model[1], 2, 3] += [0.3, -0.4]
    results[25] = replace(results[25], trajectories=wrong)
    difference = difference_to_offline(log, results, trained.model, 20)
    assert difference is not None
    np.testing.assert_allclose(difference.max_m, 0.5, atol=1e-4)
    assert difference_to_offline(log, results[:19], trained.model, 20) is None


def test_in_real_time_frames_come_at_their_stamps_and_overdue_ones_are_dropped(
    log: SensorLog, make_replay_node: MakeNode
) -> None:
    """A clock of our own: the fifth answer takes 0.35 s, which costs three frames."""
    now_s, answers = 100.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def slow_record(*_: object) -> None:
        nonlocal now_s, answers
        answers += 1
        now_s += 0.35 if answers == 5 else 0.01

    frames = list(frames_of_log(log))
    results = play_in_real_time(*make_replay_node(), frames, slow_record, sleep, lambda: now_s)
    answered = [frames.index(next(f for f in frames if f.stamp_ns == r.stamp_ns)) for r in results]
    assert answered == [0, 1, 2, 3, 4, 7, *range(8, 30)]
    assert [r.dropped_since_last for r in results[4:7]] == [0, 2, 0]
    assert results[5].age_ms == pytest.approx(350 - 300.3, abs=1e-3)
    assert results[6].age_ms == pytest.approx(0, abs=1e-3)
    assert now_s == pytest.approx(100 + 29 * 0.1001 + 0.01)


def test_consistency_is_over_agents_that_both_answers_know(play: Callable) -> None:
    results = play()
    first, second = results[9], results[10]  # the bus is in the first alone, and the model never sees to the cone
    assert (first.by_model.tolist(), second.by_model.tolist()) == ([0, 1, 2], [0, 1])
    before, now = [0, 2], [0, 1]
    expected = forecast_consistency(
        first.trajectories[before], first.probabilities[before], second.trajectories[now], second.probabilities[now]
    )
    measured = mean_consistency([first, second])
    assert measured is not None
    assert measured["most_likely"] == pytest.approx(expected.most_likely.mean())
    assert measured["best_matching"] == pytest.approx(expected.best_matching.mean())
    broken = replace(results[8], valid=False)
    assert mean_consistency([broken, first, second]) == measured
    assert mean_consistency([first]) is None


def offline_scores(log: SensorLog, results: list[ForecastResult], steps: int) -> tuple[int, list[float]]:
    """Scores by the offline metrics and the log's own arrays: of the most likely mode, and of all modes."""
    step_of = {int(stamp_ns): step for step, stamp_ns in enumerate(log.stamps_ns)}
    last, rows = step_of[results[-1].stamp_ns], []
    for result in results:
        begin = step_of[result.stamp_ns] + 1
        for row in result.by_model.tolist() if begin + steps <= last + 1 else []:
            agent = log.ids.index(result.objects.ids[row])
            if log.valid[agent, begin : begin + steps].all():
                forecast = result.trajectories[row : row + 1, :, :steps], result.probabilities[row : row + 1]
                truth = log.position[agent : agent + 1, begin : begin + steps]
                scores = [score_forecast(*forecast, truth, k) for k in (1, 6)]
                rows.append([value[0] for s in scores for value in (s.min_ade, s.min_fde, s.miss)])
    return len(rows), np.mean(np.array(rows, dtype=float).reshape(-1, 6), axis=0).tolist()


def check_self_score(log: SensorLog, results: list[ForecastResult], horizons_s: tuple[int, ...]) -> int:
    """Without bridges over lost ticks, which the offline metrics do not have either; returns the number of scores."""
    score, total = SelfScore(SelfScoreSettings(longest_bridge_steps=1.5)), 0
    for result in results:
        score.observe(result)
    for seconds in horizons_s:
        found = score.summary()["by_source"]["model"][f"{seconds}s"]
        count, expected = offline_scores(log, results, 10 * seconds)
        assert found["objects"] == count > 0
        np.testing.assert_allclose([found[name] for name in SCORES], expected, rtol=0, atol=1e-4)
        total += count
    return total


def test_a_node_scores_itself_as_the_offline_metrics_do(play: Callable, log: SensorLog) -> None:
    results = play()
    check_self_score(log, results, (1, 2))
    bus = score_of(results).summary()["by_kind"]["bus"]["1s"]
    assert bus["unscored"] > 0  # it is hidden for half a second


def test_on_a_real_log_a_node_scores_itself_as_the_offline_metrics_do(real_replay: Played) -> None:
    assert real_replay.drive.log is not None
    assert check_self_score(real_replay.drive.log, list(real_replay.results), (1, 2, 3)) > 3000


def test_latency_is_summed_up_over_all_answers(play: Callable) -> None:
    result = play()[0]
    results = [replace(result, latency_ms=float(ms)) for ms in range(101)]
    assert latency_summary(results) == {"p50": 50.0, "p99": 99.0, "max": 100.0}
