from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception_tools.records_file import RecordsWriter, write_records


def test_every_row_and_every_value_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "out" / "records.parquet"
    large = 220602000012345678  # as SQA3D's ids; a double cannot hold it
    rows = [
        {"id": large, "answers": ["a bed", "chair"], "em1": True, "probability": 0.25},
        {"id": np.int64(large + 1), "answers": [], "em1": np.bool_(False), "probability": np.float64(0.5)},
    ]
    write_records(path, rows)
    assert pq.read_table(path).to_pylist() == rows


def test_a_key_that_only_a_later_row_has_becomes_a_column(tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    write_records(path, [{"id": 1, "seen": None}, {"id": 2, "miss": True, "points": np.array([1.0, 2.0])}])
    assert pq.read_table(path).to_pylist() == [
        {"id": 1, "seen": None, "miss": None, "points": None},
        {"id": 2, "seen": None, "miss": True, "points": [1.0, 2.0]},
    ]


def test_values_of_different_types_name_the_column(tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    with pytest.raises(InputError, match=r"records\.parquet: expected values of one type in column 'id', but"):
        write_records(path, [{"id": 1}, {"id": "two"}])
    with pytest.raises(InputError, match="expected values of one type in column 'id'"):
        write_records(path, [{"id": 2**70}])
    assert list(tmp_path.iterdir()) == []


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least one record, got none"):
        write_records(tmp_path / "records.parquet", [])


def test_a_write_that_fails_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "records.parquet"
    write_records(path, [{"id": 1}])

    def full_disk(_table: object, file: Path, **_options: object) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full_disk)
        with pytest.raises(InputError, match="cannot be written"):
            write_records(path, [{"id": 2}])
    assert pq.read_table(path).to_pylist() == [{"id": 1}]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_tables_one_after_the_other_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "records.parquet"
    with RecordsWriter(path) as records:
        records.add({"id": ["a", "b"], "hit": np.array([True, False])})
        records.add({"id": ("c",), "hit": np.array([True])})
        assert not path.exists(), "it is not there before it is whole"
    expected = [{"id": "a", "hit": True}, {"id": "b", "hit": False}, {"id": "c", "hit": True}]
    assert pq.read_table(path).to_pylist() == expected
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_that_nothing_was_added_to_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least one record, got none"), RecordsWriter(tmp_path / "r"):
        pass
    assert list(tmp_path.iterdir()) == []


def add_all(path: Path, *tables: dict, error: BaseException | None = None) -> None:
    with RecordsWriter(path) as records:
        for table in tables:
            records.add(table)
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [InputError("a picture"), OSError(5, "of a picture"), KeyboardInterrupt()])
def test_what_fails_between_tables_is_passed_on_and_keeps_the_former_file(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "records.parquet"
    write_records(path, [{"id": 1}])
    with pytest.raises(type(error)) as caught:
        add_all(path, {"id": [2]}, error=error)
    assert caught.value is error
    assert pq.read_table(path).to_pylist() == [{"id": 1}]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("columns", [{"id": ["text"]}, {"other": [1]}, {"id": [1], "more": [2]}])
def test_tables_of_other_columns_are_refused(columns: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the columns of the tables before, .*int64"):
        add_all(tmp_path / "records.parquet", {"id": [1]}, columns)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full_disk)
    with pytest.raises(InputError, match="cannot be written"), RecordsWriter(tmp_path / "records.parquet") as records:
        records.add({"id": [1]})
    assert list(tmp_path.iterdir()) == []
