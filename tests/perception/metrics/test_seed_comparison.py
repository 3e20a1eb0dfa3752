from __future__ import annotations

import numpy as np
import pytest

from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.seed_comparison import compare_seeds

SCENES = np.repeat(np.arange(20), 10)


def scores(rates: list[float], seed: int = 0) -> np.ndarray:
    """Made hits of runs with the given accuracies on the same 200 questions."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.random((200, 1)) < rate for rate in rates]).astype(np.float64)


def test_the_difference_is_that_of_the_means_not_of_the_best_seeds() -> None:
    first, second = scores([0.5, 0.9], 1), scores([0.7, 0.72], 2)
    (found,) = compare_seeds(first, second, SCENES)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert -0.5 < found.interval[0] < found.difference < found.interval[1] < 0.5


def test_each_metric_is_compared_by_itself() -> None:
    first, second = (np.concatenate([scores([0.8], seed), scores([0.3], seed)], axis=2) for seed in (8, 9))
    found = compare_seeds(first, second, SCENES)
    assert found == tuple(compare_seeds(first[..., [i]], second[..., [i]], SCENES)[0] for i in (0, 1))
    assert found[0].difference != found[1].difference


def test_seeds_that_disagree_widen_the_interval() -> None:
    second = scores([0.5, 0.5, 0.5], 3)
    (alike,) = compare_seeds(scores([0.75, 0.75, 0.75], 4), second, SCENES)
    (apart,) = compare_seeds(scores([0.55, 0.75, 0.95], 4), second, SCENES)
    assert alike.told_apart
    assert np.diff(apart.interval) > 1.5 * np.diff(alike.interval)


def test_single_seeds_leave_the_interval_over_scenes() -> None:
    first, second = scores([0.7], 5), scores([0.6], 6)
    (found,) = compare_seeds(first, second, SCENES)
    low, high = bootstrap_interval((first - second)[0], seed=0, groups=SCENES)
    assert found.interval == pytest.approx((low[0], high[0]), abs=0.02)


def test_a_recipe_does_not_differ_from_itself_where_every_seed_says_the_same() -> None:
    same = np.repeat(scores([0.5], 7), 3, axis=0)
    (found,) = compare_seeds(same, same, SCENES)
    assert (found.difference, found.told_apart) == (0.0, False)
    assert found.interval == pytest.approx((0.0, 0.0), abs=1e-12)
