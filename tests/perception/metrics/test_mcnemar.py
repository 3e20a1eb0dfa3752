from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from perception.metrics.mcnemar import PairedHits


def paired(first_only: int, second_only: int, interval: tuple[float, float] = (0.1, 0.2)) -> PairedHits:
    return PairedHits(both=9, first_only=first_only, second_only=second_only, neither=2, interval=interval)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 300), st.integers(0, 300))
def test_the_p_value_is_scipys_exact_binomial_test(first_only: int, second_only: int) -> None:
    expected = binomtest(first_only, first_only + second_only).pvalue if first_only + second_only else 1.0
    assert paired(first_only, second_only).p_value == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_thousands_of_disagreements_neither_overflow_nor_vanish() -> None:
    assert paired(1700, 1819).p_value == pytest.approx(binomtest(1700, 3519).pvalue, rel=1e-9)


def test_questions_are_counted_by_who_answered_them() -> None:
    first, second = np.array([1, 1, 1, 0, 0], dtype=bool), np.array([1, 0, 0, 1, 0], dtype=bool)
    hits = PairedHits.count(first, second, np.arange(5))
    assert (hits.both, hits.first_only, hits.second_only, hits.neither) == (1, 2, 1, 1)
    assert hits.difference == pytest.approx(0.2)
    assert hits.interval[0] < 0.2 < hits.interval[1]


def test_the_interval_repeats_with_its_seed() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.random((2, 999)) < 0.5
    scenes = generator.integers(100, size=999)
    one, again, other = (PairedHits.count(first, second, scenes, seed) for seed in (3, 3, 4))
    assert one == again
    assert one.interval != other.interval


def test_a_system_does_not_differ_from_itself() -> None:
    hits = np.array([True, False])
    same = PairedHits.count(hits, hits, np.arange(2))
    assert (same.p_value, same.difference, same.interval, same.told_apart) == (1.0, 0.0, (0.0, 0.0), False)


def test_two_systems_are_told_apart_only_where_test_and_scenes_agree() -> None:
    assert paired(40, 10).told_apart
    assert paired(10, 40, (-0.2, -0.1)).told_apart
    assert not paired(40, 10, (-0.01, 0.3)).told_apart
    assert not paired(12, 10).told_apart


def test_a_gain_in_a_single_scene_is_not_significant_over_scenes() -> None:
    scenes = np.repeat(np.arange(10), 20)
    first, second = scenes == 3, np.zeros(200, dtype=bool)
    hits = PairedHits.count(first, second, scenes)
    assert hits.p_value < 1e-5
    assert not hits.told_apart
