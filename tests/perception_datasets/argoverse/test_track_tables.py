from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_datasets.argoverse.track_tables import (
    MAX_CELLS,
    MAX_TRACKS,
    encode,
    first_rows,
    observed,
    spread,
    the_only,
)
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


def test_texts_that_no_row_has_and_texts_that_are_there_twice_make_no_track() -> None:
    """A filtered table keeps the dictionary of the whole one."""
    column = pa.chunked_array(
        [pa.DictionaryArray.from_arrays(pa.array([3, 1, 3, 0]), pa.array(["b", "a", "unused", "b"]))]
    )
    names, codes = encode(column)
    assert names == ["a", "b"]
    assert codes.tolist() == [1, 0, 1, 1]


def test_the_first_row_of_each_track_is_found() -> None:
    assert first_rows(np.array([1, 0, 1, 0, 2])).tolist() == [1, 0, 4]


def test_a_column_with_one_value_gives_it_and_another_is_refused() -> None:
    table = pa.table({"city": ["PIT", "PIT"], "focal": ["a", "b"]})
    assert the_only(FILE, table, "city", "do this") == "PIT"
    with pytest.raises(RecordError, match=r"a\.csv: column focal: expected one value in all rows, found a, b; do this"):
        the_only(FILE, table, "focal", "do this")


@pytest.mark.parametrize(("tracks", "steps"), [(MAX_TRACKS + 1, 1), (2, MAX_CELLS)])
def test_more_tracks_than_fit_in_memory_are_refused_before_they_are_laid_out(tracks: int, steps: int) -> None:
    with pytest.raises(RecordError, match="expected at most 2,000 tracks and 2,000,000 track steps"):
        observed(FILE, [str(track) for track in range(tracks)], np.array([0]), np.array([0]), steps)
