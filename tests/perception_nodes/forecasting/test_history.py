from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.geometry import SE2
from perception.traffic.scenario import AgentKind
from perception_datasets.argoverse.argoverse2_sensor import SensorLog, read_log
from perception_nodes.forecasting.history import TICKS_PER_STEP, Arrival, TrackHistory
from perception_nodes.forecasting.tick import Tick, TrackedMotion

MakeTick = Callable[..., Tick]
STEPS = 8
ARRAYS = ("kinds", "position", "heading", "velocity", "valid", "scored")


def usable(tick: Tick) -> Tick:
    return tick.take(tick.screened(256).rows)


def play(ticks: Sequence[Tick], steps: int = STEPS) -> TrackHistory:
    history = TrackHistory(steps)
    for tick in ticks:
        history.add(usable(tick))
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
    history.add(usable(make_tick(6)))
    for step in order:
        if history.add(usable(make_tick(step))) is Arrival.RESTARTED:
            return  # three ascending ones in a row would set the clock; see the next test
        if step in twice:
            assert history.add(usable(make_tick(step))) is Arrival.DUPLICATE
    assert history.add(usable(make_tick(7))) is Arrival.PRESENT
    assert_same(history, expected)


def test_two_late_ticks_are_no_clock_step_but_three_in_a_row_are(make_tick: MakeTick) -> None:
    history = play([make_tick(step) for step in (0, 1, 5)])
    arrivals = [history.add(usable(make_tick(step))) for step in (2, 3)]
    assert arrivals == [Arrival.LATE, Arrival.LATE]
    assert history.add(usable(make_tick(6))) is Arrival.PRESENT
    assert [history.add(usable(make_tick(step + 0.5))) for step in (2, 3, 4)][-1] is Arrival.RESTARTED
    assert (len(history), history.present.stamp_ns) == (3, make_tick(4.5).stamp_ns)


@pytest.mark.parametrize("set_by_steps", [-5.5, -100_000, 100_000])
def test_a_clock_that_was_set_restarts_the_history(make_tick: MakeTick, set_by_steps: float) -> None:
    """Afterwards the history is that of a stream that began then."""
    history = play([make_tick(step) for step in range(6)])
    after = [replace(make_tick(step), stamp_ns=make_tick(step + set_by_steps).stamp_ns) for step in range(6, 6 + STEPS)]
    arrivals = [history.add(usable(tick)) for tick in after]
    assert arrivals[2:] == [Arrival.RESTARTED] + [Arrival.PRESENT] * (STEPS - 3)
    assert not any(arrival.is_present for arrival in arrivals[:2])
    assert_same(history, play(after))


@pytest.mark.parametrize("stray_step", [-1e6, 1e6, -50.0, 200.0])
def test_a_single_wild_stamp_costs_nothing(make_tick: MakeTick, stray_step: float) -> None:
    ticks = [make_tick(step) for step in range(10)]
    history = play(ticks[:5])
    assert history.add(usable(make_tick(stray_step))) is Arrival.HELD_BACK
    for tick in ticks[5:]:
        assert history.add(usable(tick)) is Arrival.PRESENT
    assert_same(history, play(ticks))


def test_of_two_ticks_with_one_stamp_the_first_stands(make_tick: MakeTick) -> None:
    ticks = [make_tick(step) for step in range(5)]
    history = play(ticks)
    other = replace(make_tick(40), stamp_ns=ticks[3].stamp_ns)
    assert history.add(usable(other)) is Arrival.HELD_BACK
    assert_same(history, play(ticks))


def test_a_track_that_vanishes_and_reappears_is_bridged_if_the_gap_is_short(make_tick: MakeTick) -> None:
    whole = play([make_tick(step) for step in range(20)], 20).tracks()
    for lost, bridged in ((2, True), (9, True), (10, False)):
        ticks = [make_tick(step, cars=2 if 5 <= step < 5 + lost else 3) for step in range(20)]
        tracks = play(ticks, 20).tracks()
        row = tracks.ids.index("car2")
        assert (~tracks.valid[row]).sum() == (0 if bridged else lost)
        np.testing.assert_allclose(
            tracks.position[row][tracks.valid[row]], whole.position[row][tracks.valid[row]], atol=1e-6
        )


@settings(max_examples=20)
@given(lost=st.sets(st.integers(1, 18), max_size=12))
def test_lost_ticks_leave_even_motion_as_it_was(make_tick: MakeTick, lost: set[int]) -> None:
    whole = play([make_tick(step) for step in range(20)], 20).tracks()
    tracks = play([make_tick(step) for step in range(20) if step not in lost], 20).tracks()
    longest = max(np.diff([step for step in range(20) if step not in lost]))
    assert tracks.valid.all() == (longest <= 10)
    np.testing.assert_allclose(tracks.position[tracks.valid], whole.position[tracks.valid], atol=1e-6)


def test_nothing_grows_in_an_endless_stream_however_fast(make_tick: MakeTick) -> None:
    history = TrackHistory(STEPS)
    for step in range(1500):
        tick = make_tick(step * 0.1, cars=2)  # 100 Hz, and every track is new
        history.add(usable(replace(tick, ids=tuple(f"{name}-{step}" for name in tick.ids))))
        if step % 7 == 0:
            history.add(usable(make_tick(-step)))
    assert len(history) <= TICKS_PER_STEP * (STEPS + 1)
    assert len(history._strays) <= 3
    assert len(history._slots) < 1300


@pytest.mark.parametrize("rate_hz", [20, 37, 50, 100])
def test_a_fast_stream_is_thinned_out_and_not_cut_short(make_tick: MakeTick, rate_hz: int) -> None:
    whole = play([make_tick(step) for step in range(60)], 20).tracks()
    tracks = play([make_tick(59 - 10 * i / rate_hz) for i in range(4 * rate_hz, -1, -1)], 20).tracks()
    assert tracks.valid.all()
    np.testing.assert_allclose(tracks.position, whole.position, atol=0.01)


def without_ego(tick: Tick) -> Tick:
    return replace(tick, city_SE2_ego=SE2(np.nan, np.nan, np.nan))


def test_a_tick_without_an_ego_pose_keeps_the_objects_tracks(make_tick: MakeTick) -> None:
    ticks = [make_tick(step) for step in range(STEPS)]
    whole = play(ticks).tracks()
    for lost in (3, STEPS - 1):
        tracks = play([without_ego(tick) if step == lost else tick for step, tick in enumerate(ticks)]).tracks()
        np.testing.assert_array_equal(tracks.position[1:], whole.position[1:])
        assert tracks.valid[1:].all()
        assert tracks.valid[0].all() == (lost != STEPS - 1)
        assert tracks.kinds.tolist() == whole.kinds.tolist()


def test_an_object_is_of_the_last_kind_that_the_tracker_knew(make_tick: MakeTick) -> None:
    unknown, bus = AgentKind.UNKNOWN, AgentKind.BUS
    kinds = [[unknown, unknown, unknown], [unknown, bus, unknown], [0, unknown, unknown], [unknown, unknown, unknown]]
    ticks = [replace(make_tick(step), kinds=np.array([*of, 7])) for step, of in enumerate(kinds)]
    tracks = play(ticks).tracks()
    assert tracks.kinds.tolist() == [0, 0, bus, unknown, 7]
    assert tracks.scored.tolist() == [True, True, True, False, False]
    later = play([*ticks, *(replace(make_tick(step), kinds=np.array([unknown] * 3 + [7])) for step in range(4, 14))])
    assert later.tracks().kinds.tolist() == [0, unknown, unknown, unknown, 7]  # their kinds are beyond the history


def facing(tick: Tick, headings: list[float], velocity: float | None = None, *, axis: bool = True) -> Tick:
    """The tick with headings of which the tracker does not know whether they are fronts or backs, or not even that."""
    count = len(tick)
    told = np.full((count, 2), np.nan) if velocity is None else np.tile([velocity, 0.0], (count, 1))
    unsure, no = np.zeros(count, bool), np.zeros(count, bool)
    axes = np.full(count, axis)
    motion = TrackedMotion(told, np.full(count, np.nan), front_known=unsure, stationary=no, axis_known=axes)
    return replace(tick, heading=np.array(headings), motion=motion)


@pytest.mark.parametrize("velocity", [None, 9.0])
def test_where_the_front_is_unknown_it_is_where_the_object_goes(make_tick: MakeTick, velocity: float | None) -> None:
    """The cars drive east; the cone has no motion, and keeps the first of its headings."""
    ticks = [facing(make_tick(step), [0.1 + np.pi * (step % 2)] * 4, velocity if step else None) for step in range(6)]
    tracks = play(ticks).tracks()
    np.testing.assert_allclose(np.cos(tracks.heading[1:, -4:]), np.cos(0.1))


def test_while_an_object_stands_its_front_is_where_it_was(make_tick: MakeTick) -> None:
    driving = [facing(make_tick(step), [np.pi, np.pi, np.pi, 0.3]) for step in range(6)]
    stand, rng = make_tick(5), np.random.default_rng(0)
    standing = []
    for step in range(6, 40):
        trembling = replace(make_tick(step), position=stand.position + rng.normal(0, 0.02, (4, 2)))
        standing.append(facing(trembling, [np.pi * (step % 3), np.pi * (step % 2), 0.0, 0.3 + np.pi * (step % 2)]))
    history = play(driving)
    for tick in standing:
        history.add(usable(tick))
        headings = history.tracks().heading[1:, -1]
        np.testing.assert_allclose(np.cos(headings), np.cos([0, 0, 0, 0.3]))


@pytest.mark.parametrize("velocity", [None, 9.0])
def test_a_heading_that_says_nothing_is_the_direction_of_travel_and_held_at_rest(
    make_tick: MakeTick, velocity: float | None
) -> None:
    """Trackers fill the field with anything: here with a heading that turns by a radian a tick."""
    ticks = [facing(make_tick(step), [2.0 + step] * 4, velocity if step else None, axis=False) for step in range(6)]
    history, stand = play(ticks), make_tick(5)
    tracks = history.tracks()
    np.testing.assert_allclose(tracks.heading[1:4, -4:], 0.0, atol=1e-6)  # the cars drive east
    if velocity is None:
        np.testing.assert_allclose(tracks.heading[4, -4:], 2.0)  # the cone has none: it keeps the first
    for step in range(6, 12):
        at_rest = replace(make_tick(step), position=stand.position)
        history.add(usable(facing(at_rest, [2.0 + step] * 4, 0.0, axis=False)))
    np.testing.assert_allclose(history.tracks().heading[1:4, -1], 0.0, atol=1e-6)


def test_a_tick_that_is_held_back_has_its_own_past_and_that_of_the_stream(make_tick: MakeTick) -> None:
    history = play([make_tick(step) for step in range(6)])
    for step, seen in ((106, 1), (107, 2)):
        assert history.add(usable(make_tick(step))) is Arrival.HELD_BACK
        since, before = history.held_back()
        assert since.valid.sum(axis=1).tolist() == [seen] * 5
        assert (since.ids, before.ids) == (before.ids, since.ids)
        np.testing.assert_allclose(before.position[1, -1, 0], make_tick(5).position[0, 0])


def test_cleared_it_is_as_new(make_tick: MakeTick) -> None:
    history = play([make_tick(step) for step in range(5)])
    history.clear()
    assert len(history) == 0
    assert history.add(usable(make_tick(2))) is Arrival.PRESENT


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
            assert history.add(usable(tick)) is Arrival.PRESENT
            start = step + 1 - history_steps
            if start < 0 or step % 5:
                continue
            made = history.tracks()
            read = log.scenario(start, history_steps=history_steps, future_steps=0).agents
            rows = np.flatnonzero(read.valid[:, -1])
            assert made.ids == tuple(read.ids[row] for row in rows)
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(made, name), getattr(read, name)[rows])
