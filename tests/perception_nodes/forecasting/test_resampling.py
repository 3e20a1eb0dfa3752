import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_nodes.forecasting.resampling import cut_jumps, grid_coordinates, resample

STEP_NS = 100_000_000


def stamps(*intervals_ms: float) -> np.ndarray:
    return np.cumsum([1_000_000_000, *(round(ms * 1e6) for ms in intervals_ms)])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 4), st.floats(-4.9, 4.9)), min_size=1, max_size=60))
def test_ticks_about_whole_steps_apart_stand_where_a_log_reader_puts_them(intervals: list) -> None:
    """Whole steps are counted from tick to tick, however far the clock drifts in total."""
    times = stamps(*(100 * steps + wander for steps, wander in intervals))
    counted = np.concatenate([[0], np.cumsum([steps for steps, _ in intervals])])
    assert grid_coordinates(times).tolist() == (counted - counted[-1]).tolist()


def test_a_tick_off_the_grid_stands_off_the_grid_and_the_next_on_it_again() -> None:
    assert grid_coordinates(stamps(100, 130, 70, 100)).tolist() == [-4, -3, -1.7, -1, 0]
    assert grid_coordinates(stamps(50, 50, 50)).tolist() == [-1.5, -1, -0.5, 0]


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    intervals=st.lists(st.floats(20, 140), min_size=60, max_size=80),
    velocity=st.floats(-30, 30),
)
def test_uniform_motion_is_recovered_from_any_stream_that_is_dense_enough(
    seed: int, intervals: list, velocity: float
) -> None:
    """Snapping to whole steps may move a tick by 5 ms a step, summed over the grid."""
    times = stamps(*intervals)
    offset = np.random.default_rng(seed).uniform(-3, 3)
    seconds = (times - times[-1]) / 1e9
    poses = np.stack([velocity * seconds, 0 * seconds, offset + 0.2 * seconds], axis=1)[None]
    steps = 10
    grid, known = resample(grid_coordinates(times), poses, np.ones((1, len(times)), bool), steps)
    assert known.all()
    wanted = 0.1 * np.arange(1 - steps, 1)
    np.testing.assert_allclose(grid[0, :, 0], velocity * wanted, atol=abs(velocity) * 0.005 * steps + 1e-6)
    assert grid[0, -1].tolist() == poses[0, -1].tolist()


def test_a_heading_is_interpolated_the_short_way_round() -> None:
    poses = np.array([[[0, 0, 3.1], [0, 0, 3.1], [0, 0, -3.1]]])
    grid, _ = resample(np.array([-1.5, -0.5, 0.0]), poses, np.ones((1, 3), bool), 2)
    assert grid[0, 0, 2] == 3.1
    grid, _ = resample(np.array([-1.5, -0.5, 0.0]), poses[:, [0, 2, 2]], np.ones((1, 3), bool), 2)
    np.testing.assert_allclose(grid[0, 0, 2], 3.1 + 0.5 * (2 * np.pi - 6.2))


def test_a_track_that_a_tick_lacks_has_a_gap_there() -> None:
    poses = np.arange(12.0).reshape(1, 4, 3)
    seen = np.array([[True, False, True, True]])
    grid, known = resample(np.array([-3.0, -2, -1, 0]), poses, seen, 4)
    assert known.tolist() == seen.tolist()
    assert grid[0, 1].tolist() == [0, 0, 0]
    assert grid[0, 2].tolist() == poses[0, 2].tolist()


def test_where_a_tick_is_lost_or_there_was_none_yet_nothing_is_known() -> None:
    poses, seen = np.ones((1, 2, 3)), np.ones((1, 2), bool)
    assert resample(np.array([-2.0, 0.0]), poses, seen, 4)[1].tolist() == [[False, True, False, True]]


def test_of_two_ticks_at_one_step_the_later_counts() -> None:
    coordinates = grid_coordinates(stamps(100, 3))
    poses = np.array([[[1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0]]])
    both, _ = resample(coordinates, poses, np.array([[True, True, True]]), 2)
    assert both[0, :, 0].tolist() == [1, 3]
    one, known = resample(coordinates, poses, np.array([[True, True, False]]), 2)
    assert (one[0, :, 0].tolist(), known.tolist()) == ([1, 2], [[True, True]])


def test_a_jump_after_the_first_tick_is_one_too() -> None:
    position = np.array([[[0.0, 0.0], [50.0, 0.0], [50.0, 0.0]]])
    seen = np.ones((1, 3), dtype=bool)
    assert cut_jumps(stamps(100, 100), position, seen).tolist() == [[False, True, True]]


def test_a_jump_ends_what_came_before_it() -> None:
    times = stamps(100, 100, 100, 100)
    position = np.zeros((3, 5, 2))
    position[0, :, 0] = [0, 9, 18, 27, 36]  # 90 m/s
    position[1, :, 0] = [0, 1, 50, 51, 52]
    position[2, :, 0] = [0, 7, 7, 7, 21]  # 140 m/s for a step, but it was not seen for three
    seen = np.ones((3, 5), bool)
    seen[2, 1:4] = False
    assert cut_jumps(times, position, seen).tolist() == [
        [True] * 5,
        [False, False, True, True, True],
        [True, False, False, False, True],
    ]
