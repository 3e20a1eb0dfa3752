from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_datasets.argoverse.track_tables import check_columns, encode, observed, spread
from perception_datasets.errors import RecordError

FILE = Path("a.csv")


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(st.text(max_size=3), min_size=1, max_size=20), dictionary=st.booleans())
def test_encoding_gives_sorted_names_and_the_name_of_each_row(texts: list[str], dictionary: bool) -> None:
    column = pa.chunked_array([texts], type=pa.string())
    names, codes = encode(column.dictionary_encode() if dictionary else column)
    assert names == sorted(set(texts))
    assert [names[code] for code in codes] == texts


@settings(deadline=None, max_examples=30)
@given(cells=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1))
def test_rows_land_in_their_cells_and_all_others_stay_zero(cells: set[tuple[int, int]]) -> None:
    agent, step = np.array(sorted(cells)).T
    valid = observed(FILE, ["a", "b", "c", "d"], agent, step, 6)
    grid = spread([1.0 + agent, 10.0 + step], agent, step, valid)
    assert {(int(a), int(s)) for a, s in zip(*np.nonzero(valid), strict=True)} == cells
    for a, s in cells:
        assert grid[a, s].tolist() == [1.0 + a, 10.0 + s]
    assert not grid[~valid].any()


def test_a_second_row_for_a_cell_is_named() -> None:
    with pytest.raises(RecordError, match=r"a\.csv: track y has 3 rows for step 2; keep one row"):
        observed(FILE, ["x", "y"], np.array([0, 1, 1, 1]), np.array([0, 2, 2, 2]), 4)


def test_missing_columns_are_all_listed() -> None:
    with pytest.raises(RecordError, match="expected the columns a, b, c; missing: b, c; do this"):
        check_columns(FILE, pa.table({"a": [1.0]}), dict.fromkeys("abc", pa.float64()), "do this")
