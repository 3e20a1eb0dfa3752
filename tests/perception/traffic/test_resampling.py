from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.traffic.resampling import LONGEST_BRIDGE_STEPS, grid_coordinates, resample, window_ns
from perception_datasets.argoverse.argoverse2_sensor import SensorLog, read_log

STEPS = 20
RATES_HZ = (5.0, 6.5, 9.7, 10.0, 10.4, 20.0, 50.0, 100.0)


def stamps(*intervals_ms: float) -> np.ndarray:
    return np.cumsum([1_700_000_000_000_000_000, *(round(ms * 1e6) for ms in intervals_ms)])


def arc(seconds: np.ndarray, speed: float = 15.0, turn_rate: float = 0.3) -> np.ndarray:
    """x, y and heading of something that moves evenly on an arc, or straight, through (5, -3) at 0 s."""
    heading = 0.4 + turn_rate * seconds
    if abs(turn_rate) < 1e-6:
        return np.stack([5 + speed * seconds * np.cos(0.4), speed * seconds * np.sin(0.4) - 3, heading], axis=-1)
    radius = speed / turn_rate
    x, y = radius * (np.sin(heading) - np.sin(0.4)), -radius * (np.cos(heading) - np.cos(0.4))
    return np.stack([5 + x, y - 3, heading], axis=-1)


def on_grid(times: np.ndarray, steps: int = STEPS, **motion: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The resampled track, where it is known, and what it would be with ticks at each of the grid's steps."""
    poses = arc((times - times[-1]) / 1e9, **motion)
    grid, known = resample(times, poses[None], np.ones((1, len(times)), bool), steps)
    return grid[0], known[0], arc(0.1 * np.arange(1 - steps, 1), **motion)


@settings(max_examples=50)
@given(
    steps=st.lists(st.integers(1, 4), min_size=1, max_size=60),
    rate=st.floats(0.997, 1.003),
    seed=st.integers(0, 1000),
)
def test_ticks_of_a_10_hz_stream_are_counted_and_taken_as_they_are(steps: list, rate: float, seed: int) -> None:
    counted = np.concatenate([[0], np.cumsum(steps)])
    wander_ns = np.random.default_rng(seed).uniform(-1e5, 1e5, len(counted))
    times = 10**18 + np.rint(counted * 1e8 * rate + wander_ns).astype(np.int64)
    assert grid_coordinates(times).tolist() == (counted - counted[-1]).tolist()


@pytest.mark.parametrize("intervals", [(100, 94, 106), (100, 103.3, 96.4), (96.2,) * 10, (100, 3, 97), (20, 100, 180)])
def test_other_ticks_stand_where_their_time_is(intervals: tuple) -> None:
    times = stamps(*intervals)
    np.testing.assert_allclose(grid_coordinates(times), (times - times[-1]) / 1e8, atol=1e-9)


@pytest.mark.parametrize("turn_rate", [0.0, 0.1, -0.3, 0.5])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_even_motion_is_the_same_at_every_rate(rate_hz: float, turn_rate: float) -> None:
    """At 15 m/s; the velocity of the last half second leads to within 0.1 m after 3 s, turning at up to 7.5 m/s²."""
    times = stamps(*[1000 / rate_hz] * round(3 * rate_hz))
    grid, known, exact = on_grid(times, turn_rate=turn_rate)
    assert known.all()
    assert np.abs(grid - exact)[:, :2].max() < 0.02
    lead_m = 3.0 * ((grid[-1] - grid[-6]) - (exact[-1] - exact[-6]))[:2] / 0.5
    assert np.linalg.norm(lead_m) < 0.1
    assert grid[-1].tolist() == arc(np.zeros(1), turn_rate=turn_rate)[0].tolist()


@settings(max_examples=50)
@given(
    intervals=st.lists(st.sampled_from((20, 100, 180)) | st.floats(20, 200), min_size=110, max_size=110),
    speed=st.floats(0, 30),
    lateral=st.floats(-4, 4),
)
def test_even_motion_is_recovered_from_irregular_ticks(intervals: list, speed: float, lateral: float) -> None:
    """Counting may move a tick by 0.35 % of its age, and turns of up to 4 m/s² are followed."""
    grid, known, exact = on_grid(stamps(*intervals), speed=speed, turn_rate=lateral / max(speed, 4.0))
    assert known.all()
    age_s = 0.1 * np.arange(STEPS - 1, -1, -1)
    assert (np.abs(grid - exact)[:, :2] < 0.02 + speed * np.maximum(0.0035 * age_s, 0.0015)[:, None]).all()


@settings(max_examples=50)
@given(lost=st.sets(st.integers(0, STEPS - 2), max_size=12), lateral=st.floats(-3, 3), speed=st.floats(3, 20))
def test_lost_ticks_are_bridged_as_the_headings_turn(lost: set, lateral: float, speed: float) -> None:
    times = stamps(*[100] * (STEPS - 1))[[step for step in range(STEPS) if step not in lost]]
    grid, known, exact = on_grid(times, speed=speed, turn_rate=lateral / speed)
    oldest = min(set(range(STEPS)) - lost)
    gap = max(np.diff(sorted(set(range(STEPS)) - lost)), default=1)
    assert known[oldest:].all() == (gap <= LONGEST_BRIDGE_STEPS)
    assert not known[:oldest].any()
    assert np.abs(grid - exact)[known, :2].max() < 0.1


@pytest.mark.parametrize("headings", [(1.5, 1.5), (0.0, 3.0), (0.0, 0.0)])
def test_a_way_is_straight_wherever_the_heading_points_unless_that_turns(headings: tuple) -> None:
    poses = np.array([[[0.0, 0, headings[0]], [0, 0, 0], [4, 2, headings[1]]]])
    grid, known = resample(stamps(200, 200), poses, np.array([[True, False, True]]), 5)
    assert known.all()
    np.testing.assert_allclose(grid[0, :, :2], [[0, 0], [1, 0.5], [2, 1], [3, 1.5], [4, 2]], atol=1e-12)
    np.testing.assert_allclose(grid[0, :, 2], np.linspace(headings[0], headings[1], 5))


def test_a_heading_is_interpolated_the_short_way_round() -> None:
    poses = np.array([[[0, 0, 3.1], [0, 0, -3.1]]])
    grid, _ = resample(stamps(200), poses, np.ones((1, 2), bool), 3)
    np.testing.assert_allclose(grid[0, :, 2], [3.1, np.pi, -3.1])


def test_nothing_is_known_before_the_first_tick_nor_within_a_long_gap() -> None:
    seen = np.array([[True] * 2 + [False] * 11 + [True] * 2, [False] * 14 + [True]])
    times = stamps(*[100] * 14)
    grid, known = resample(times, np.ones((2, 15, 3)), seen, 18)
    assert known[0].tolist() == [False] * 3 + [True] * 2 + [False] * 11 + [True] * 2
    assert known[1].tolist() == [False] * 17 + [True]
    assert (grid[~known] == 0).all()


def test_of_two_ticks_at_one_step_the_later_is_the_present() -> None:
    poses = np.array([[[1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0]]])
    both, _ = resample(stamps(97, 3), poses, np.array([[True, True, True]]), 2)
    assert both[0, :, 0].tolist() == [1, 3]
    one, known = resample(stamps(97, 3), poses, np.array([[True, True, False]]), 2)
    assert known.tolist() == [[True, False]]
    assert one[0, :, 0].tolist() == [1, 0]


def test_ticks_before_the_window_change_nothing() -> None:
    times = stamps(*[100] * 40)
    poses = np.random.default_rng(0).normal(size=(2, 41, 3)).cumsum(axis=1)
    seen = np.random.default_rng(1).random((2, 41)) < 0.8
    seen[:, 8] = True  # just outside the window: it would bridge to a later one
    all_ticks, known = resample(times, poses, seen, 30)
    used = times >= times[-1] - window_ns(30)
    assert used.sum() == 32
    np.testing.assert_array_equal(all_ticks, resample(times[used], poses[:, used], seen[:, used], 30)[0])
    np.testing.assert_array_equal(known, resample(times[used], poses[:, used], seen[:, used], 30)[1])


def test_a_jump_ends_what_came_before_it() -> None:
    poses = np.zeros((4, 5, 3))
    poses[0, :, 0] = [0, 9, 18, 27, 36]  # 90 m/s
    poses[1, :, 0] = [0, 1, 50, 51, 52]
    poses[2, :, 0] = [0, 7, 7, 7, 21]  # 140 m/s for a step, but it was not seen for three
    poses[3, :, 0] = [0, 50, 50, 50, 50]  # after the first tick
    seen = np.ones((4, 5), bool)
    seen[2, 1:4] = False
    known = resample(stamps(100, 100, 100, 100), poses, seen, 5)[1]
    assert known.tolist() == [[True] * 5, [False, False, True, True, True], [True] * 5, [False, True, True, True, True]]


@pytest.fixture(scope="module")
def recorded(real_data: Path) -> list[SensorLog]:
    return [read_log(folder) for folder in sorted((real_data / "argoverse2" / "sensor_logs").iterdir())]


@pytest.mark.parametrize("gap", [2, 5, 10])
def test_what_bridging_a_gap_costs_on_recorded_tracks(recorded: list[SensorLog], gap: int) -> None:
    """The 99th percentile of the largest distance from where the sweeps saw what moves faster than 1 m/s."""
    worst = []
    for log in recorded:
        for end in range(25, log.valid.shape[1], 10):
            window = slice(end - 20, end + 1)
            whole = log.valid[:, window].all(axis=1)
            poses = np.concatenate([log.position, log.heading[..., None]], axis=-1)[whole, window]
            fast = np.linalg.norm(poses[:, -1, :2] - poses[:, -21, :2], axis=1) > 2.0
            seen = np.ones(poses.shape[:2], bool)
            seen[:, -gap:-1] = False
            bridged, known = resample(log.stamps_ns[window], poses, seen, 21)
            counted = resample(log.stamps_ns[window], poses, np.ones_like(seen), 21)[0]
            off = bridged[fast] - counted[fast]
            assert known[:, 1:].all()
            worst.extend(np.linalg.norm(off[..., :2], axis=2).max(axis=1))
    assert len(worst) > 300
    assert np.quantile(worst, 0.99) < {2: 0.05, 5: 0.15, 10: 0.5}[gap]
