import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.geometry import SE2
from perception.traffic.motion import REGRESSION_STEPS
from perception.traffic.scenario import AgentKind, AgentTracks
from perception_nodes.forecasting.answer import Source
from perception_nodes.forecasting.fallback import (
    LEAST_MOVE_M,
    TURN_SHARE,
    carried_on,
    extrapolate,
    present_motion,
    reported_motion,
)
from perception_nodes.forecasting.history import TrackHistory
from perception_nodes.forecasting.tick import Tick, TrackedMotion

STEPS, AHEAD = 20, 30
NAN = float("nan")


def tick_at(
    step: float,
    position: np.ndarray,
    heading: np.ndarray | None = None,
    *,
    kind: int = AgentKind.VEHICLE,
    velocity: np.ndarray | None = None,
    turn_rate: float = NAN,
    stationary: bool = False,
) -> Tick:
    """Objects of one kind, with what a tracker reports of them where a velocity is given."""
    count = len(position)
    motion = None
    if velocity is not None:
        flags = np.ones(count, bool), np.full(count, stationary)
        motion = TrackedMotion(velocity, np.full(count, turn_rate), *flags)
    return Tick(
        1_700_000_000_000_000_000 + round(step * 1e8),
        SE2(0.0, 0.0, 0.0),
        tuple(f"{number:04d}" for number in range(count)),
        np.full(count, kind),
        position,
        np.zeros(count) if heading is None else heading,
        np.ones((count, 3)),
        motion,
    )


def tracks_of(ticks: list[Tick]) -> AgentTracks:
    history = TrackHistory(STEPS)
    for tick in ticks:
        history.add(tick)
    return history.tracks()


def futures(ticks: list[Tick]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trajectories, sources and velocities of the last tick's objects."""
    motion = present_motion(ticks[-1], np.arange(len(ticks[-1])), tracks_of(ticks))
    extrapolation = extrapolate(ticks[-1], motion, AHEAD)
    return extrapolation.trajectories, extrapolation.sources, motion.velocity


def arc(seconds: np.ndarray, speed: float, turn_rate: float) -> np.ndarray:
    """x and y of something that turns evenly, eastwards through the origin at 0 s; exact to micrometres."""
    times = np.linspace(0, seconds, 400, axis=1)
    velocity = speed * np.stack([np.cos(turn_rate * times), np.sin(turn_rate * times)], axis=-1)
    return np.asarray(np.trapezoid(velocity, times[..., None], axis=1))


@given(
    lost=st.sets(st.integers(0, STEPS - 2), max_size=STEPS - 1),
    speed=st.floats(0.5, 20),
    lateral=st.floats(-3, 3),
    reported=st.booleans(),
)
def test_whatever_ticks_are_lost_it_is_no_worse_than_constant_velocity(
    lost: set, speed: float, lateral: float, reported: bool
) -> None:
    """Constant velocity here is the exact one; it may be 10 % worse, and 0.3 m.

    Where neither the tracker nor a second tick says how fast an object is, nothing can be said; neither where it has
    lately moved by less than trackers tremble.
    """
    rate = lateral / max(speed, 6.0)
    seen = [step for step in range(1 - STEPS, 1) if step + STEPS - 1 not in lost]
    if len(seen) < 2 and not reported:
        return
    if not reported and seen[-2] < -10:  # a gap that is not bridged
        return
    lately_m = -0.1 * speed * min(step for step in seen if step >= -REGRESSION_STEPS)
    if not reported and lately_m <= LEAST_MOVE_M + 1e-9:
        return
    ticks = []
    for step in seen:
        heading = rate * step * 0.1
        velocity = speed * np.array([[np.cos(heading), np.sin(heading)]]) if reported else None
        turning = {"velocity": velocity, "turn_rate": rate} if reported else {}
        ticks.append(tick_at(step, arc(np.array([0.1 * step]), speed, rate), np.array([heading]), **turning))
    trajectories, _, _ = futures(ticks)
    true = arc(np.array([3.0]), speed, rate)[0]
    constant = np.linalg.norm(true - [3.0 * speed, 0.0])
    assert np.linalg.norm(trajectories[0, -1] - true) <= 1.1 * constant + 0.3


def test_a_new_track_goes_on_at_the_velocity_that_the_tracker_reports() -> None:
    tick = tick_at(0, np.zeros((2, 2)), velocity=np.array([[15.0, 0.0], [NAN, NAN]]))
    trajectories, sources, velocity = futures([tick])
    np.testing.assert_allclose(trajectories[0, -1], [45.0, 0.0])
    assert sources.tolist() == [Source.CONSTANT_VELOCITY, Source.AT_REST]
    assert velocity.tolist() == [[15.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(("told", "expected"), [(9.0, 9.5), (0.0, 10.0), (NAN, 10.0), (-40.0, 10.0)])
def test_history_and_tracker_count_the_same_unless_they_disagree(told: float, expected: float) -> None:
    ticks = [tick_at(step, np.array([[float(step), 0]]), velocity=np.array([[told, 0.0]])) for step in range(10)]
    np.testing.assert_allclose(futures(ticks)[2], [[expected, 0.0]], atol=1e-9)


def test_a_history_of_two_ticks_does_not_overrule_the_tracker() -> None:
    ticks = [tick_at(step, np.array([[0.5 * step, 0]]), velocity=np.array([[15.0, 0.0]])) for step in range(2)]
    np.testing.assert_allclose(futures(ticks)[2], [[15.0, 0.0]])


@pytest.mark.parametrize("turn_rate", [NAN, 0.3])
def test_a_car_that_turns_goes_on_in_a_weaker_turn_and_a_pedestrian_straight(turn_rate: float) -> None:
    """The rate is the tracker's, or that of the headings."""
    ticks, now = {}, 0.3 * 0.1 * (STEPS - 1)
    for kind in (AgentKind.VEHICLE, AgentKind.PEDESTRIAN):
        ticks[kind] = []
        for step in range(STEPS):
            heading = 0.3 * 0.1 * step
            velocity = 10 * np.array([[np.cos(heading), np.sin(heading)]])
            place = arc(np.array([0.1 * step]), 10.0, 0.3)
            ticks[kind].append(
                tick_at(step, place, np.array([heading]), kind=kind, velocity=velocity, turn_rate=turn_rate)
            )
    trajectories, sources, _ = futures(ticks[AgentKind.VEHICLE])
    assert sources.tolist() == [Source.CONSTANT_TURN]
    moved = trajectories[0] - ticks[AgentKind.VEHICLE][-1].position[0]
    expected = arc(np.array([3.0]), 10.0, 0.3 * TURN_SHARE)[0]
    turned = SE2(0.0, 0.0, now).rotate(expected)
    np.testing.assert_allclose(moved[-1], turned, atol=0.3)
    trajectories, sources, _ = futures(ticks[AgentKind.PEDESTRIAN])
    assert sources.tolist() == [Source.CONSTANT_VELOCITY]
    np.testing.assert_allclose(np.diff(trajectories[0], n=2, axis=0), 0, atol=1e-9)


def test_turn_rates_are_limited() -> None:
    tick = tick_at(0, np.zeros((1, 2)), velocity=np.array([[20.0, 0.0]]), turn_rate=5.0)
    trajectories, _, _ = futures([tick])
    headings = np.unwrap(np.arctan2(*np.diff(trajectories[0], axis=0).T[::-1]))
    np.testing.assert_allclose(np.diff(headings), 0.1 * TURN_SHARE * 4.0 / 20.0, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (AgentKind.UNKNOWN, Source.CONSTANT_VELOCITY),
        (AgentKind.CYCLIST, Source.CONSTANT_VELOCITY),
        (AgentKind.STATIC, Source.AT_REST),
        (AgentKind.BACKGROUND, Source.AT_REST),
        (AgentKind.CONSTRUCTION, Source.AT_REST),
        (AgentKind.RIDERLESS_BICYCLE, Source.AT_REST),
        (-2, Source.CONSTANT_VELOCITY),
        (99, Source.CONSTANT_VELOCITY),
    ],
)
def test_kinds_that_do_not_move_stay_and_all_others_go_on(kind: int, source: Source) -> None:
    tick = tick_at(0, np.zeros((1, 2)), kind=kind, velocity=np.array([[5.0, 0.0]]))
    extrapolation = extrapolate(tick, reported_motion(tick), AHEAD)
    assert extrapolation.sources.tolist() == [source]


def test_what_the_tracker_calls_stationary_stays_unless_it_is_seen_to_move() -> None:
    velocity = np.array([[5.0, 0.0]])
    assert futures([tick_at(0, np.zeros((1, 2)), velocity=velocity, stationary=True)])[1] == [Source.AT_REST]
    ticks = [tick_at(step, np.array([[0.5 * step, 0]]), velocity=velocity, stationary=True) for step in range(8)]
    assert futures(ticks)[1] == [Source.CONSTANT_VELOCITY]


@given(seed=st.integers(0, 10_000), count=st.integers(2, STEPS))
def test_what_trembles_by_two_centimetres_is_at_rest(seed: int, count: int) -> None:
    """Whatever the tracker makes of the trembling."""
    rng = np.random.default_rng(seed)
    velocity = rng.normal(0, 0.2, (count, 1, 2))
    ticks = [tick_at(step, rng.normal(0, 0.02, (1, 2)), velocity=velocity[step]) for step in range(count)]
    trajectories, _, _ = futures(ticks)
    assert np.linalg.norm(trajectories[0] - ticks[-1].position[0], axis=1).max() < (0.5 if count >= 4 else 3.0)


def test_a_car_that_starts_is_moving_after_half_a_second() -> None:
    place = lambda step: 0.5 * 1.0 * max(0.0, 0.1 * step) ** 2  # noqa: E731
    ticks = [tick_at(step, np.array([[place(step), 0.0]])) for step in range(-STEPS, 6)]
    assert present_motion(ticks[-7], np.zeros(1, int), tracks_of(ticks[:-6])).at_rest.tolist() == [True]
    assert present_motion(ticks[-1], np.zeros(1, int), tracks_of(ticks)).at_rest.tolist() == [False]


def test_after_the_clock_was_set_objects_go_on_as_before() -> None:
    before = tracks_of([tick_at(step, np.array([[1.5 * step, 0], [0, 9], [0, 0.2 * step]])) for step in range(8)])
    now = tick_at(1000, np.array([[12.0, 0], [0, 9], [60, 0]]))  # the third is another object
    rows, since = np.arange(3), tracks_of([now])
    motion = carried_on(present_motion(now, rows, since), rows, since, before)
    np.testing.assert_allclose(motion.velocity, [[15, 0], [0, 0], [0, 0]], atol=1e-9)
    told = replace(now, motion=TrackedMotion(np.full((3, 2), 3.0), np.zeros(3), np.ones(3, bool), np.zeros(3, bool)))
    motion = carried_on(present_motion(told, rows, since), rows, since, before)
    np.testing.assert_allclose(motion.velocity, 3.0)


def test_numbers_that_are_not_finite_are_not_used() -> None:
    for bad in (NAN, np.inf, -np.inf):
        tick = tick_at(0, np.zeros((1, 2)), velocity=np.full((1, 2), bad), turn_rate=bad)
        trajectories, sources, _ = futures([tick])
        assert (trajectories == 0).all()
        assert sources.tolist() == [Source.AT_REST]


def test_two_thousand_objects_take_milliseconds() -> None:
    """5 ms is the aim; the limit is for a machine that does much else."""
    rng = np.random.default_rng(0)
    position, velocity = rng.uniform(-100, 100, (2000, 2)), rng.uniform(-10, 10, (2000, 2))
    ticks = [tick_at(step, position + 0.1 * step * velocity, velocity=velocity, turn_rate=0.1) for step in range(STEPS)]
    tracks, rows, times = tracks_of(ticks), np.arange(2000), []
    for _ in range(10):
        begin_s = time.thread_time()
        extrapolate(ticks[-1], present_motion(ticks[-1], rows, tracks), AHEAD)
        times.append(time.thread_time() - begin_s)
    assert min(times) < 0.02
