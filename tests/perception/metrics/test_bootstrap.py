from __future__ import annotations

import numpy as np
import pytest

from perception.metrics.bootstrap import bootstrap_interval


def test_the_interval_of_equal_rows_is_a_point():
    low, high = bootstrap_interval(np.full((10, 2), 3.0), seed=0)
    assert (low == 3.0).all()
    assert (high == 3.0).all()


def test_the_interval_of_a_normal_mean_is_two_standard_errors_wide_on_either_side():
    rows = np.random.default_rng(0).normal(size=(2000, 1))
    low, high = bootstrap_interval(rows, seed=0)
    standard_error = rows.std() / np.sqrt(len(rows))
    assert float((high - low)[0]) == pytest.approx(2 * 1.96 * standard_error, rel=0.1)
    assert low[0] < rows.mean() < high[0]


def test_as_many_draws_lie_below_the_interval_as_above() -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 1))
    low, high = bootstrap_interval(rows, seed=0, level=0.5)
    standard_error = rows.std() / np.sqrt(len(rows))
    assert (rows.mean() - low[0]) / standard_error == pytest.approx(0.674, abs=0.1)
    assert (high[0] - rows.mean()) / standard_error == pytest.approx(0.674, abs=0.1)


def test_a_higher_level_gives_a_wider_interval():
    rows = np.random.default_rng(1).exponential(size=(50, 1))
    narrow, wide = (bootstrap_interval(rows, seed=0, level=level) for level in (0.5, 0.99))
    assert wide[0] < narrow[0]
    assert narrow[1] < wide[1]


def test_groups_of_one_row_are_rows() -> None:
    rows = np.random.default_rng(2).normal(size=(60, 2))
    plain = bootstrap_interval(rows, seed=0)
    grouped = bootstrap_interval(rows[::-1].copy(), seed=0, groups=np.arange(60)[::-1].copy())
    np.testing.assert_allclose(grouped, plain, rtol=0, atol=1e-12)


def test_equal_rows_within_groups_give_the_interval_of_one_row_per_group() -> None:
    single = np.random.default_rng(3).normal(size=(40, 1))
    one = bootstrap_interval(single, seed=0)
    repeated = bootstrap_interval(np.repeat(single, 25, axis=0), seed=0, groups=np.repeat(np.arange(40), 25))
    np.testing.assert_allclose(repeated, one, rtol=0, atol=1e-12)
    narrow = bootstrap_interval(np.repeat(single, 25, axis=0), seed=0)
    assert (narrow[1] - narrow[0])[0] < 0.3 * (one[1] - one[0])[0]


def test_groups_are_weighted_by_their_size() -> None:
    rows = np.concatenate([np.zeros((90, 1)), np.ones((10, 1))])
    low, high = bootstrap_interval(rows, seed=0, groups=np.repeat([7, 3], [90, 10]))
    assert (low[0], high[0]) == (0.0, 1.0)
