from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.geometry import SE2
from perception_datasets.argoverse.argoverse2_sensor import SensorLog, read_log
from perception_nodes.forecasting.history import TICKS_PER_STEP, Arrival, TrackHistory
from perception_nodes.forecasting.tick import Tick

MakeTick = Callable[..., Tick]
STEPS = 8
ARRAYS = ("kinds", "position", "heading", "velocity", "valid", "scored")


def play(ticks: Sequence[Tick], steps: int = STEPS) -> TrackHistory:
    history = TrackHistory(steps)
    for tick in ticks:
        history.add(tick.screened(100))
    return history


def assert_same(one: TrackHistory, other: TrackHistory) -> None:
    assert one.present.stamp_ns == other.present.stamp_ns
    left, right = one.tracks(), other.tracks()
    assert left.ids == right.ids
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_the_tracks_are_of_the_present_agents_with_their_past(make_tick: MakeTick) -> None:
    tracks = play([make_tick(0, cars=2), make_tick(1), make_tick(2)]).tracks()
    assert tracks.ids == ("AV", "car0", "car1", "car2", "cone")
    assert tracks.valid.sum(axis=1).tolist() == [3, 3, 3, 2, 3]
    assert tracks.valid[:, -1].all()
    assert tracks.scored.tolist() == [True, True, True, True, False]
    np.testing.assert_allclose(tracks.position[0, -3:, 0], [0, 1, 2])
    np.testing.assert_allclose(tracks.velocity[0, -1], [10, 0])


@settings(deadline=None, max_examples=30)
@given(order=st.permutations(range(6)), twice=st.sets(st.integers(0, 5)))
def test_late_and_repeated_ticks_leave_no_trace(make_tick: MakeTick, order: list[int], twice: set[int]) -> None:
    """Ticks 0-5 come in any order, some twice, between ticks that are in time."""
    expected = play([make_tick(step) for step in range(8)])
    history = TrackHistory(STEPS)
    history.add(make_tick(6).screened(100))
    for step in order:
        if history.add(make_tick(step).screened(100)) is Arrival.RESTARTED:
            return  # three in a row that ascend are a clock that was set; the next test
        if step in twice:
            assert history.add(make_tick(step).screened(100)) is Arrival.DUPLICATE
    assert history.add(make_tick(7).screened(100)) is Arrival.PRESENT
    assert_same(history, expected)


def test_two_late_ticks_are_no_clock_step_but_three_in_a_row_are(make_tick: MakeTick) -> None:
    history = play([make_tick(step) for step in (0, 1, 5)])
    arrivals = [history.add(make_tick(step).screened(100)) for step in (2, 3)]
    assert arrivals == [Arrival.LATE, Arrival.LATE]
    assert history.add(make_tick(6).screened(100)) is Arrival.PRESENT
    assert [history.add(make_tick(step + 0.5).screened(100)) for step in (2, 3, 4)][-1] is Arrival.RESTARTED
    assert (len(history), history.present.stamp_ns) == (3, make_tick(4.5).stamp_ns)


@pytest.mark.parametrize("set_by_steps", [-5.5, -100_000, 100_000])
def test_a_clock_that_was_set_restarts_the_history(make_tick: MakeTick, set_by_steps: float) -> None:
    """Afterwards nothing of before is left: the history is that of a stream that began then."""
    history = play([make_tick(step) for step in range(6)])
    after = [replace(make_tick(step), stamp_ns=make_tick(step + set_by_steps).stamp_ns) for step in range(6, 6 + STEPS)]
    arrivals = [history.add(tick.screened(100)) for tick in after]
    assert arrivals[2:] == [Arrival.RESTARTED] + [Arrival.PRESENT] * (STEPS - 3)
    assert not any(arrival.is_present for arrival in arrivals[:2])
    assert_same(history, play(after))


@pytest.mark.parametrize("stray_step", [-1e6, 1e6, -50.0, 200.0])
def test_a_single_wild_stamp_costs_nothing(make_tick: MakeTick, stray_step: float) -> None:
    ticks = [make_tick(step) for step in range(10)]
    history = play(ticks[:5])
    assert history.add(make_tick(stray_step).screened(100)) is Arrival.HELD_BACK
    for tick in ticks[5:]:
        assert history.add(tick.screened(100)) is Arrival.PRESENT
    assert_same(history, play(ticks))


def test_of_two_ticks_with_one_stamp_the_first_stands(make_tick: MakeTick) -> None:
    ticks = [make_tick(step) for step in range(5)]
    history = play(ticks)
    other = replace(make_tick(40), stamp_ns=ticks[3].stamp_ns)
    assert history.add(other.screened(100)) is Arrival.HELD_BACK
    assert_same(history, play(ticks))


def test_a_track_that_vanishes_and_reappears_has_a_gap(make_tick: MakeTick) -> None:
    cars = [3, 3, 2, 2, 3, 3]
    tracks = play([make_tick(step, cars=count) for step, count in enumerate(cars)]).tracks()
    assert tracks.valid[tracks.ids.index("car2"), -6:].tolist() == [True, True, False, False, True, True]


def test_nothing_grows_in_an_endless_stream_however_fast(make_tick: MakeTick) -> None:
    history = TrackHistory(STEPS)
    for step in range(1500):
        tick = make_tick(step * 0.1, cars=2)  # 100 Hz, and every track is new
        history.add(replace(tick, ids=tuple(f"{name}-{step}" for name in tick.ids)).screened(100))
        if step % 7 == 0:
            history.add(make_tick(-step).screened(100))
    assert len(history) <= TICKS_PER_STEP * STEPS
    assert len(history._strays) <= 3


def test_cleared_it_is_as_new(make_tick: MakeTick) -> None:
    history = play([make_tick(step) for step in range(5)])
    history.clear()
    assert len(history) == 0
    assert history.add(make_tick(2).screened(100)) is Arrival.PRESENT


def ticks_of(log: SensorLog) -> list[Tick]:
    ticks = []
    for step in np.flatnonzero(log.valid[0]):
        seen = np.flatnonzero(log.valid[:, step])[1:]
        x, y = log.position[0, step]
        ticks.append(
            Tick(
                stamp_ns=int(log.stamps_ns[step]),
                city_SE2_ego=SE2(x, y, log.heading[0, step]),
                ids=tuple(log.ids[agent] for agent in seen),
                kinds=log.kinds[seen],
                position=log.position[seen, step],
                heading=log.heading[seen, step],
                size=log.size[seen],
            )
        )
    return ticks


@pytest.mark.parametrize("history_steps", [20, 50])
def test_recorded_logs_give_bit_for_bit_the_readers_tracks(real_data: Path, history_steps: int) -> None:
    for folder in sorted((real_data / "argoverse2" / "sensor_logs").iterdir()):
        log = read_log(folder)
        history = TrackHistory(history_steps)
        for step, tick in enumerate(ticks_of(log)):
            assert history.add(tick.screened(256)) is Arrival.PRESENT
            start = step + 1 - history_steps
            if start < 0 or step % 5:
                continue
            made = history.tracks()
            read = log.scenario(start, history_steps=history_steps, future_steps=0).agents
            rows = np.flatnonzero(read.valid[:, -1])
            assert made.ids == tuple(read.ids[row] for row in rows)
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(made, name), getattr(read, name)[rows])
