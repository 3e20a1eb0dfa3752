"""Records that cannot be read are replaced by the next ones, and named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception_tools.training.readable import MAX_UNREAD, first_readable


def reader(broken: set[int]) -> Callable[[int], int]:
    def read(index: int) -> int:
        if index in broken:
            raise InputError(f"{index} is broken")
        return 10 * index

    return read


@given(st.integers(1, 12), st.data())
def test_the_next_readable_record_stands_in_and_all_before_it_are_named(count: int, data: st.DataObject) -> None:
    good = data.draw(st.integers(0, count - 1))
    broken = data.draw(st.sets(st.integers(0, count - 1))) - {good}
    start = data.draw(st.integers(0, count - 1))
    found = first_readable(reader(broken), start, count, str, "numbers")
    passed = [(start + offset) % count for offset in range((found.index - start) % count)]
    assert found.index not in broken
    assert found.value == 10 * found.index
    assert set(passed) <= broken
    assert found.unread == tuple((str(index), f"{index} is broken") for index in passed)


@pytest.mark.parametrize(("count", "named"), [(3, 3), (MAX_UNREAD + 5, MAX_UNREAD)])
def test_too_many_broken_records_in_a_row_end_training(count: int, named: int) -> None:
    expected = f"training numbers: expected some that can be read, found {named} in a row that cannot; the first: 1 is"
    with pytest.raises(InputError, match=expected):
        first_readable(reader(set(range(count))), 1, count, str, "numbers")
