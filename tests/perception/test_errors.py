from __future__ import annotations

import pytest

from perception.errors import first_of


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(0, 3, ""), (2, 3, "0, 1"), (3, 3, "0, 1, 2"), (4, 3, "0, 1, 2, …"), (6, 5, "0, 1, 2, 3, 4, …")],
)
def test_the_first_things_are_listed_and_others_hinted_at(count: int, most: int, expected: str) -> None:
    assert first_of(range(count), most) == expected
    assert first_of(map(str, range(count)), most) == expected
