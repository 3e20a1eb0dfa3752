from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.metrics.consistency import forecast_consistency
from perception_datasets.argoverse.argoverse2_sensor import SensorLog, read_log
from perception_nodes.forecasting.answer import ForecastResult
from perception_nodes.forecasting.node import ForecastingNode
from perception_tools.forecasting.model import TrainedForecaster, load_model
from perception_tools.forecasting.streaming.drive import frames_of_log
from perception_tools.forecasting.streaming.playback import (
    ReplayClock,
    difference_to_offline,
    latency_summary,
    mean_consistency,
    play_in_real_time,
    play_lockstep,
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
    assert (difference.windows, difference.forecasts) == (11, 11 * 3)
    assert difference.max_m < 1e-5
    assert difference.max_probability < 1e-6


def test_a_difference_to_offline_is_found_where_there_is_one(
    play: Callable, log: SensorLog, trained: TrainedForecaster
) -> None:
    results = play()
    wrong = results[25].trajectories.copy()
    wrong[1, 2, 3] += [0.3, -0.4]
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
    first, second = results[9], results[10]  # the bus is in the first alone
    assert (len(first.by_model), len(second.by_model)) == (3, 2)
    later = second.by_model
    rows = [first.objects.ids.index(second.objects.ids[row]) for row in later]
    expected = forecast_consistency(
        first.trajectories[rows], first.probabilities[rows], second.trajectories[later], second.probabilities[later]
    )
    measured = mean_consistency([first, second])
    assert measured is not None
    assert measured["most_likely"] == pytest.approx(expected.most_likely.mean())
    assert measured["best_matching"] == pytest.approx(expected.best_matching.mean())
    broken = replace(results[8], valid=False)
    assert mean_consistency([broken, first, second]) == measured
    assert mean_consistency([first]) is None


def test_latency_is_summed_up_over_all_answers(play: Callable) -> None:
    result = play()[0]
    results = [replace(result, latency_ms=float(ms)) for ms in range(101)]
    assert latency_summary(results) == {"p50": 50.0, "p99": 99.0, "max": 100.0}
