from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.metrics.rotation_consistency import RotationConsistency


def test_questions_are_counted_by_the_viewpoints_from_which_they_are_right() -> None:
    hits = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=bool)
    found = RotationConsistency.count(hits)
    assert (found.questions, found.at_least) == (4, (0.75, 0.5, 0.25, 0.25))
    assert found.score == pytest.approx(0.4375)  # as evaluate_rotation_robustness.py prints: (75 + 50 + 25 + 25) / 4
    for (low, high), share in zip(found.intervals, found.at_least, strict=True):
        assert low <= share <= high


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=8))
def test_the_published_score_is_the_mean_accuracy(rows: list[list[bool]]) -> None:
    hits = np.array(rows)
    assert RotationConsistency.count(hits).score == pytest.approx(hits.mean())
