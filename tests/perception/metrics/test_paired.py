from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from perception.metrics import paired
from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.paired import PairedDifference, common_records, paired_differences

GENERATOR = np.random.default_rng(0)
SCENES = np.repeat(np.arange(20), 10)


def scores(rates: list[float], seed: int = 0) -> np.ndarray:
    """Made hits of runs with the given accuracies on the same 200 questions."""
    generator = np.random.default_rng(seed)
    return np.stack([generator.random((200, 1)) < rate for rate in rates]).astype(np.float64)


def test_a_small_difference_on_scenes_that_are_hard_for_both_told_apart() -> None:
    """The intervals of the means overlap nearly entirely."""
    hard = GENERATOR.exponential(3.0, size=(200, 1))
    first, second = hard + GENERATOR.normal(-0.2, 0.3, size=hard.shape), hard
    (low,), (high,) = bootstrap_interval(first, seed=0)
    assert low < second.mean() < high
    (found,) = paired_differences(first[None], second[None], seed=0)
    assert found.told_apart
    assert found.high < 0


def test_the_interval_is_that_of_the_differences_mean() -> None:
    first, second = GENERATOR.normal(size=(2, 1, 3000, 2))
    expected = stats.t.interval(
        0.95, 2999, loc=(first - second).mean(axis=(0, 1)), scale=stats.sem((first - second)[0])
    )
    for metric, found in enumerate(paired_differences(first, second, seed=0)):
        assert found.difference == pytest.approx(first[0, :, metric].mean() - second[0, :, metric].mean())
        assert (found.low, found.high) == pytest.approx((expected[0][metric], expected[1][metric]), abs=0.004)


def test_the_second_less_the_first_is_the_opposite() -> None:
    first, second = GENERATOR.normal(size=(1, 40, 1)), GENERATOR.normal(size=(1, 40, 1))
    (one,), (other,) = (paired_differences(*pair, seed=3) for pair in ((first, second), (second, first)))
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low), rel=1e-9)


def test_equal_systems_do_not_differ() -> None:
    scores = GENERATOR.normal(size=(1, 30, 2))
    assert paired_differences(scores, scores, seed=0) == [PairedDifference(0.0, 0.0, 0.0)] * 2
    assert not PairedDifference(0.0, 0.0, 0.0).told_apart


def test_an_interval_that_ends_at_zero_shows_nothing() -> None:
    assert not PairedDifference(-1.0, -2.0, 0.0).told_apart
    assert not PairedDifference(1.0, 0.0, 2.0).told_apart
    assert PairedDifference(1.0, 0.1, 2.0).told_apart


def test_records_of_a_scene_are_drawn_together() -> None:
    first = np.repeat(GENERATOR.normal(size=(1, 20, 1)), 25, axis=1)
    second, scenes = np.zeros_like(first), np.repeat(np.arange(20), 25)
    (alone,), (together,) = (paired_differences(first, second, 0, groups) for groups in (None, scenes))
    assert together.high - together.low > 3 * (alone.high - alone.low)
    (single,) = paired_differences(first[:, ::25], second[:, ::25], 0)
    assert (together.low, together.high) == pytest.approx((single.low, single.high), rel=1e-9)


def test_several_trainings_are_averaged_and_their_spread_widens_the_interval() -> None:
    """Not the best one stands for them, and not the first."""
    hard = GENERATOR.normal(size=(1, 400, 1))
    trainings = hard + np.array([-1.0, 0.0, 1.6])[:, None, None]
    (found,) = paired_differences(trainings, hard, seed=0)
    assert found.difference == pytest.approx(0.2)
    assert found.low < -0.6
    assert found.high > 1.0
    (same,) = paired_differences(np.repeat(hard - 0.5, 3, axis=0), hard, seed=0)
    assert (same.low, same.high) == pytest.approx((-0.5, -0.5))


def test_what_a_seed_decides_for_both_systems_alike_is_no_difference() -> None:
    hard = GENERATOR.normal(size=(1, 400, 1))
    second = hard + np.array([-1.0, 0.0, 1.6])[:, None, None]
    first = second - np.array([0.2, 0.3, 0.4])[:, None, None]
    (alone,), (paired_too,) = (paired_differences(first, second, 0, same_seeds=same) for same in (False, True))
    assert not alone.told_apart
    assert (paired_too.difference, alone.difference) == (pytest.approx(-0.3), pytest.approx(-0.3))
    assert (paired_too.low, paired_too.high) == (pytest.approx(-0.4), pytest.approx(-0.2))


def test_how_many_resamples_are_held_at_once_changes_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = GENERATOR.normal(size=(2, 1, 500, 1))
    (many,) = paired_differences(first, second, seed=0)
    monkeypatch.setattr(paired, "_DRAWS_AT_ONCE", 7)
    (few,) = paired_differences(first, second, seed=0)
    assert few.difference == many.difference
    assert (few.low, few.high) == pytest.approx((many.low, many.high), abs=0.02)


def test_the_level_is_the_share_inside() -> None:
    first, second = GENERATOR.normal(size=(2, 1, 100, 1))
    (narrow,), (wide,) = (paired_differences(first, second, 0, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_common_records_are_found_in_any_order() -> None:
    first, second, third = common_records([["a", "b", "c", "d"], ["d", "x", "b", "a"], ["b", "d", "a"]])
    assert first.tolist() == [0, 1, 3]
    assert second.tolist() == [3, 2, 0]
    assert third.tolist() == [2, 0, 1]
    assert [len(rows) for rows in common_records([["a"], ["b"]])] == [0, 0]


def test_the_difference_is_that_of_the_means_not_of_the_best_seeds() -> None:
    first, second = scores([0.5, 0.9], 1), scores([0.7, 0.72], 2)
    (found,) = paired_differences(first, second, 0, SCENES)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert -0.5 < found.interval[0] < found.difference < found.interval[1] < 0.5


def test_each_metric_is_compared_by_itself() -> None:
    first, second = (np.concatenate([scores([0.8], seed), scores([0.3], seed)], axis=2) for seed in (8, 9))
    found = paired_differences(first, second, 0, SCENES)
    assert found == [paired_differences(first[..., [i]], second[..., [i]], 0, SCENES)[0] for i in (0, 1)]
    assert found[0].difference != found[1].difference


def test_seeds_that_disagree_widen_the_interval() -> None:
    second = scores([0.5, 0.5, 0.5], 3)
    (alike,) = paired_differences(scores([0.75, 0.75, 0.75], 4), second, 0, SCENES)
    (apart,) = paired_differences(scores([0.55, 0.75, 0.95], 4), second, 0, SCENES)
    assert alike.told_apart
    assert np.diff(apart.interval) > 1.5 * np.diff(alike.interval)


def test_single_seeds_leave_the_interval_over_scenes() -> None:
    first, second = scores([0.7], 5), scores([0.6], 6)
    (found,) = paired_differences(first, second, 0, SCENES)
    low, high = bootstrap_interval((first - second)[0], seed=0, groups=SCENES)
    assert found.interval == pytest.approx((low[0], high[0]), abs=0.02)


def test_a_recipe_does_not_differ_from_itself_where_every_seed_says_the_same() -> None:
    same = np.repeat(scores([0.5], 7), 3, axis=0)
    (found,) = paired_differences(same, same, 0, SCENES)
    assert (found.difference, found.told_apart) == (0.0, False)
    assert found.interval == pytest.approx((0.0, 0.0), abs=1e-12)
