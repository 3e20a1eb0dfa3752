from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.stores import part, shared_rows
from perception_datasets.stores.shared_rows import RowWriter, open_rows, segment_digest, segment_folders


def rows(*first: int, size: int = 3) -> np.ndarray:
    """Rows whose bytes are all the given numbers."""
    return np.repeat(np.array(first, np.uint8)[:, None], size, axis=1)


def table(place: Path) -> np.ndarray:
    return open_rows(place, tuple(map(segment_digest, segment_folders(place))))


def test_each_row_is_stored_once_and_found_by_its_place(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path)
    first, second = writer.places([rows(5, 6, 5), rows(6, 7)])
    assert (first.tolist(), second.tolist()) == ([0, 1, 0], [1, 2])
    (third,) = writer.places([rows(7, 8)])
    np.testing.assert_array_equal(table(tmp_path)[third], rows(7, 8))
    np.testing.assert_array_equal(writer.rows, rows(5, 6, 7, 8))
    assert len(segment_folders(tmp_path)) == 2
    writer.places([rows(5), rows()])
    assert len(segment_folders(tmp_path)) == 2, "nothing was new"


def test_writers_at_the_same_time_store_a_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second writer adds its rows while the first one is about to add the same segment."""
    one, other = RowWriter(tmp_path), RowWriter(tmp_path)
    write = part.write_part

    def overtaken(*args: Any, **options: Any) -> bool:
        monkeypatch.setattr(part, "write_part", write)
        other.places([rows(2, 3)])
        return write(*args, **options)

    monkeypatch.setattr(part, "write_part", overtaken)
    (places,) = one.places([rows(1, 2)])
    np.testing.assert_array_equal(table(tmp_path), rows(2, 3, 1))
    assert places.tolist() == [2, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows-00000", "rows-00001"]


def test_a_new_writer_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    RowWriter(tmp_path).places([rows(1, 2)])
    (places,) = RowWriter(tmp_path).places([rows(2, 3)])
    assert places.tolist() == [1, 2]


def test_from_the_first_damaged_segment_on_the_table_is_written_again(tmp_path: Path) -> None:
    for first in (1, 2, 3):
        RowWriter(tmp_path).places([rows(first)])
    chunk = segment_folders(tmp_path)[1] / part.CHUNK
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(RecordError, match=r"rows-00001: record rows: expected the bytes that were written"):
        table(tmp_path)
    digests = tuple(map(segment_digest, segment_folders(tmp_path)))
    whole, errors = shared_rows.verify_segments(tmp_path, digests)
    np.testing.assert_array_equal(whole, rows(1))
    assert list(errors) == ["rows-00001"]
    with pytest.raises(RecordError, match=r"rows-00001: expected the rows that were written, found a damaged part"):
        RowWriter(tmp_path).places([rows(9)])
    shared_rows.remove_damaged_segments(tmp_path)
    assert [path.name for path in segment_folders(tmp_path)] == ["rows-00000"]
    (places,) = RowWriter(tmp_path).places([rows(3, 1)])
    assert places.tolist() == [1, 0]


def test_rows_of_two_lengths_are_refused_in_one_sentence(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path)
    writer.places([rows(1)])
    with pytest.raises(
        InputError, match=r"expected shared rows of one length, found \[3, 4\] bytes; give each polyline"
    ):
        writer.places([rows(1, size=4)])


def test_a_table_is_kept_for_further_reads(tmp_path: Path) -> None:
    RowWriter(tmp_path).places([rows(1)])
    assert table(tmp_path) is table(tmp_path)
    assert open_rows(tmp_path, ()).shape == (0, 0)
