from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perception.metrics.group_accuracy import all_right


def test_one_mistake_loses_the_whole_group() -> None:
    hits = np.array([[1, 1], [1, 0], [1, 1], [0, 1]], dtype=np.float64)
    assert all_right(hits, np.array([0, 0, 1, 2])).tolist() == [[True, False], [True, True], [False, True]]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30))
def test_groups_are_judged_as_by_going_through_them_one_by_one(items: list[tuple[int, bool]]) -> None:
    groups = np.unique([group for group, _ in items], return_inverse=True)[1]
    hits = np.array([[right] for _, right in items], dtype=np.float64)
    expected = [
        all(right for number, right in items if number == group) for group in sorted({group for group, _ in items})
    ]
    assert all_right(hits, groups)[:, 0].tolist() == expected
