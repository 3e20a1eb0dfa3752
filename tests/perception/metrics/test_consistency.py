import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception.metrics.consistency import forecast_consistency


def straight(*speeds: float, start: float = 0.0, steps: int = 4) -> np.ndarray:
    """One agent at `start`, with a mode along x for each speed in metres per step."""
    along = start + np.outer(speeds, np.arange(1, steps + 1))
    return np.stack([along, np.zeros_like(along)], axis=-1)[None]


def test_the_same_futures_a_step_later_are_consistent() -> None:
    """An agent drives 2 m a step; a step later it is at 2 m and forecast to go on so."""
    probabilities = np.array([[0.7, 0.3]])
    result = forecast_consistency(straight(2, 1), probabilities, straight(2, 3, start=2.0), probabilities)
    assert (result.most_likely.tolist(), result.best_matching.tolist()) == ([0.0], [0.0])


def test_a_change_of_probabilities_affects_only_the_most_likely_mode() -> None:
    """Steps 2, 3, 4 of 2 m a step are 4, 6, 8 m; of 1 m a step from 2 m they are 3, 4, 5 m: 1, 2 and 3 m apart."""
    before, now = straight(2, 1), straight(2, 1, start=2.0)
    result = forecast_consistency(before, np.array([[0.6, 0.4]]), now, np.array([[0.4, 0.6]]))
    assert result.most_likely.tolist() == [2.0]
    np.testing.assert_allclose(result.best_matching, [1.0])  # 2, 3, 4 m of the slow mode before: 1 m from 3, 4, 5


def test_a_shift_of_all_modes_affects_both_distances() -> None:
    before, now = straight(2, 1), straight(2, 1, start=2.0) + np.array([0.0, 5.0])
    result = forecast_consistency(before, np.array([[0.6, 0.4]]), now, np.array([[0.6, 0.4]]))
    assert (result.most_likely.tolist(), result.best_matching.tolist()) == ([5.0], [5.0])


def test_forecasts_that_are_two_steps_apart_share_two_steps_less() -> None:
    one = np.ones((1, 1))
    result = forecast_consistency(straight(2), one, straight(2, start=5.0), one, steps_apart=2)
    assert result.most_likely.tolist() == [1.0]


def test_forecasts_of_the_same_time_share_every_step() -> None:
    one = np.ones((1, 1))
    result = forecast_consistency(straight(2), one, straight(1), one, steps_apart=0)
    assert result.most_likely.tolist() == [2.5]


@pytest.mark.parametrize("steps_apart", [-1, 4])
def test_forecasts_without_a_common_step_are_refused(steps_apart: int) -> None:
    one = np.ones((1, 1))
    with pytest.raises(InputError, match=f"less than their 4 steps apart, got {steps_apart}"):
        forecast_consistency(straight(2), one, straight(2), one, steps_apart=steps_apart)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), agents=st.integers(0, 4), modes=st.integers(1, 5))
def test_the_best_match_is_never_farther_than_the_most_likely(seed: int, agents: int, modes: int) -> None:
    rng = np.random.default_rng(seed)
    before, now = rng.normal(size=(2, agents, modes, 6, 2))
    weights = rng.random((2, agents, modes))
    result = forecast_consistency(before, weights[0], now, weights[1])
    assert (result.best_matching <= result.most_likely).all()
    order = rng.permutation(modes)
    shuffled = forecast_consistency(before[:, order], weights[0][:, order], now, weights[1])
    np.testing.assert_array_equal(shuffled.most_likely, result.most_likely)
