from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from perception.metrics.mcnemar import PairedHits


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 300), st.integers(0, 300))
def test_the_p_value_is_scipys_exact_binomial_test(first_only: int, second_only: int) -> None:
    expected = binomtest(first_only, first_only + second_only).pvalue if first_only + second_only else 1.0
    paired = PairedHits(both=9, first_only=first_only, second_only=second_only, neither=2)
    assert paired.p_value == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_thousands_of_disagreements_neither_overflow_nor_vanish() -> None:
    assert PairedHits(0, 1700, 1819, 0).p_value == pytest.approx(binomtest(1700, 3519).pvalue, rel=1e-9)


def test_questions_are_counted_by_who_answered_them() -> None:
    first, second = np.array([1, 1, 1, 0, 0], dtype=bool), np.array([1, 0, 0, 1, 0], dtype=bool)
    assert PairedHits.count(first, second) == PairedHits(both=1, first_only=2, second_only=1, neither=1)


def test_a_system_cannot_be_told_from_itself() -> None:
    hits = np.array([True, False])
    assert PairedHits.count(hits, hits).p_value == 1.0
