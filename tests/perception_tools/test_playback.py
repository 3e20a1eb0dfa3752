from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception.metrics.consistency import forecast_consistency
from perception_datasets.argoverse2_sensor import SensorLog, read_log
from perception_nodes.cdr import read_predicted_objects
from perception_nodes.forecasting import ForecastingNode, ForecastResult
from perception_nodes.messages import FORECAST_STATUS, deserialize
from perception_nodes.recording import read_recording
from perception_tools.model_file import TrainedForecaster, load_model
from perception_tools.playback import (
    OUTPUT,
    STATUS,
    ReplayClock,
    difference_to_offline,
    digest,
    digest_of_recording,
    frames_of,
    latency_summary,
    mean_consistency,
    play_in_real_time,
    play_lockstep,
    recording,
)

MakeNode = Callable[[], tuple[ForecastingNode, ReplayClock]]


@pytest.fixture(scope="module")
def log(sensor_log: Path) -> SensorLog:
    return read_log(sensor_log)


@pytest.fixture(scope="module")
def trained(trained_run: Path) -> TrainedForecaster:
    return load_model(trained_run)


@pytest.fixture
def make_node(log: SensorLog, trained: TrainedForecaster) -> MakeNode:
    def make() -> tuple[ForecastingNode, ReplayClock]:
        clock = ReplayClock()
        node = ForecastingNode(clock=clock)
        node.configure(trained.model, history_steps=trained.training.history_steps, model_id="tiny")
        node.set_map(log.map)
        node.activate()
        return node, clock

    return make


@pytest.fixture
def play(log: SensorLog, make_node: MakeNode) -> Callable[[], list[ForecastResult]]:
    return lambda: play_lockstep(*make_node(), frames_of(log), lambda _: None)


def test_a_logs_frames_are_what_its_tracker_saw(log: SensorLog) -> None:
    frames = list(frames_of(log))
    assert len(frames) == 30
    assert [len(frame) for frame in frames] == [4] * 10 + [3] * 5 + [4] * 15
    assert frames[0].ids == log.ids[1:]
    assert frames[3].stamp_ns == 1_000_000_000 + 3 * 100_100_000
    np.testing.assert_allclose(frames[5].position[0], [500 + 5 + 12 + 1, 80])
    assert (frames[5].city_SE2_ego.x_m, frames[5].city_SE2_ego.y_m) == (505.0, 80.0)


def test_every_frame_is_answered_in_order_at_the_time_of_its_stamp(log: SensorLog, make_node: MakeNode) -> None:
    recorded: list[ForecastResult] = []
    results = play_lockstep(*make_node(), frames_of(log), recorded.append)
    assert recorded == results
    assert [result.stamp_ns for result in results] == log.stamps_ns.tolist()
    assert {result.age_ms for result in results} == {0.0}
    assert all(result.valid for result in results)


def test_runs_say_the_same_and_whatever_is_said_otherwise_shows(play: Callable) -> None:
    digests = {digest(play()) for _ in range(3)}
    assert len(digests) == 1
    results = play()
    moved = [replace(result, trajectories=result.trajectories + 1e-6) for result in results]
    assert digest(moved) not in digests
    assert digest(results[1:]) not in digests
    unanswered = [*results, replace(results[-1], valid=False, reason="broken")]
    assert digest(unanswered) in digests


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
    log: SensorLog, make_node: MakeNode
) -> None:
    """A clock of our own: the fifth answer takes 0.35 s, which costs three frames."""
    now_s, answers = 100.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    def slow_record(_: ForecastResult) -> None:
        nonlocal now_s, answers
        answers += 1
        now_s += 0.35 if answers == 5 else 0.01

    frames = list(frames_of(log))
    results = play_in_real_time(*make_node(), frames, slow_record, sleep, lambda: now_s)
    answered = [frames.index(next(f for f in frames if f.stamp_ns == r.stamp_ns)) for r in results]
    assert answered == [0, 1, 2, 3, 4, 7, *range(8, 30)]
    assert [r.dropped_since_last for r in results[4:7]] == [0, 2, 0]
    assert results[5].age_ms == pytest.approx(350 - 300.3, abs=1e-3)
    assert results[6].age_ms == pytest.approx(0, abs=1e-3)
    assert now_s == pytest.approx(100 + 29 * 0.1001 + 0.01)


def test_a_recording_holds_the_valid_answers(tmp_path: Path, log: SensorLog, make_node: MakeNode) -> None:
    frames = list(frames_of(log))
    late = [*frames[:5], frames[3], *frames[5:8]]
    path = tmp_path / "new" / "out.mcap"
    with recording(path) as record:
        results = play_lockstep(*make_node(), late, record)
    assert [result.valid for result in results] == [True] * 5 + [False] + [True] * 3
    status = [deserialize(message.cdr, FORECAST_STATUS) for message in read_recording(path, [STATUS])]
    assert sum(not message.valid for message in status) == 1
    assert len(status) == 9
    messages = list(read_recording(path, [OUTPUT]))
    assert [message.stamp_ns for message in messages] == [frame.stamp_ns for frame in frames[:8]]
    first = read_predicted_objects(messages[0].cdr)
    assert len(first) == len(results[0].objects)
    np.testing.assert_array_equal(first.path_poses[:, :2], results[0].trajectories.reshape(-1, 2))
    assert digest_of_recording(path) == digest(results)


def test_consistency_is_over_agents_that_both_answers_know(play: Callable) -> None:
    results = play()
    first, second = results[9], results[10]  # the bus is in the first alone
    assert (len(first.objects), len(second.objects)) == (3, 2)
    rows = [0, 2]
    expected = forecast_consistency(
        first.trajectories[rows], first.probabilities[rows], second.trajectories, second.probabilities
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
