from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from perception_datasets.argoverse import table_files
from perception_datasets.argoverse.table_files import (
    TEXT,
    Column,
    check_file_size,
    read_csv,
    read_feather,
    read_parquet,
)
from perception_datasets.errors import RecordError

COLUMNS = {"name": TEXT, "step": Column(pa.int64(), 0.0, 9.0), "x": Column(pa.float64(), -100.0, 100.0)}
CELLS = {"name": ["b", "a", "b"], "step": [0, 5, 9], "x": [0.5, -100.0, 3.25], "other": [1, 2, 3]}
FORMATS = {
    "csv": (pa_csv.write_csv, read_csv),
    "parquet": (pq.write_table, read_parquet),
    "feather": (feather.write_feather, read_feather),
}
BINARY = ("parquet", "feather")


def reread(table: pa.Table, kind: str, folder: Path) -> pa.Table:
    write, read = FORMATS[kind]
    write(table, folder / f"a.{kind}")
    return read(folder / f"a.{kind}", COLUMNS, "do this")


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_columns_in_their_types(kind: str, tmp_path: Path) -> None:
    table = reread(pa.table(CELLS), kind, tmp_path)
    assert table.column_names == list(COLUMNS)
    assert {name: table[name].to_pylist() for name in COLUMNS} == {name: CELLS[name] for name in COLUMNS}
    assert [table[name].type for name in ("step", "x")] == [pa.int64(), pa.float64()]


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("step", pa.array([0.0, 5.0, 9.0])),
        ("step", pa.array([0, 5, 9], pa.uint8())),
        ("x", pa.array([0.5, -100.0, 3.25], pa.float32())),
        ("name", pa.array(["b", "a", "b"], pa.large_string())),
    ],
)
def test_other_types_are_converted_if_no_value_changes(kind: str, name: str, cells: Any, tmp_path: Path) -> None:
    table = reread(pa.table(CELLS | {name: cells}), kind, tmp_path)
    assert {name: table[name].to_pylist() for name in COLUMNS} == {name: CELLS[name] for name in COLUMNS}


def test_whole_numbers_can_be_names(tmp_path: Path) -> None:
    table = reread(pa.table(CELLS | {"name": [71, 70, 71]}), "parquet", tmp_path)
    assert table["name"].to_pylist() == ["71", "70", "71"]


FAULTS: list[tuple[dict, str]] = [
    ({"step": [0, 5, 10]}, "column step, row 3: expected a number from 0 to 9, found 10"),
    ({"step": [0.0, 5.5, 9.0]}, "column step, row 2: expected a whole number, found 5.5"),
    ({"step": [0, float("nan"), 9]}, "column step, row 2: expected a finite number, found nan"),
    ({"step": [0, None, 9]}, "column step, row 2: expected a value, found none"),
    ({"step": [2.0**70, 1.0, 2.0]}, "column step, row 1: expected a number from 0 to 9, found 1.18"),
    ({"step": [True, False, True]}, "column step: expected whole numbers, found bool"),
    ({"step": ["0", "1", "2"]}, "column step: expected whole numbers, found string"),
    ({"x": [[1.0], [2.0], [3.0]]}, "column x: expected numbers, found list"),
    ({"x": [0.0, 1e300, 0.0]}, r"column x, row 2: expected a number from -100 to 100, found 1e\+300"),
    ({"x": [0.0, 0.0, float("-inf")]}, "column x, row 3: expected a finite number, found -inf"),
    ({"name": ["a", None, "b"]}, "column name, row 2: expected a value, found none"),
    ({"name": [1.5, 2.5, 3.5]}, "column name: expected text, found double"),
    ({"name": ["a", "x" * 201, "b"]}, "column name: expected texts of at most 200 characters, found one of 201"),
]


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize(("changed", "reason"), FAULTS)
def test_a_cell_that_cannot_be_is_named_with_column_and_row(
    kind: str, changed: dict, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordError, match=rf"a\.{kind}: {reason}[^;]*; do this$"):
        reread(pa.table(CELLS | changed), kind, tmp_path)


@pytest.mark.parametrize(
    "cells",
    [
        pa.array(["b", "a", "b"]).dictionary_encode(),
        pa.chunked_array([pa.array(["b"]).dictionary_encode(), pa.array(["a", "b"]).dictionary_encode()]),
    ],
)
def test_categories_are_texts_in_parquet_and_refused_in_feather(cells: Any, tmp_path: Path) -> None:
    """Feather keeps a column's categories in one piece, which can expand to any size and is read before any row."""
    table = pa.table(CELLS | {"name": cells})
    assert reread(table, "parquet", tmp_path)["name"].to_pylist() == CELLS["name"]
    with pytest.raises(RecordError, match=r"column name: expected no categories, found dictionary<.*; store the v"):
        reread(table, "feather", tmp_path)


def test_many_categories_in_a_small_file_are_refused_unread(tmp_path: Path) -> None:
    many = pa.DictionaryArray.from_arrays(pa.array([0, 0, 0]), pa.repeat("", 5_000_000))
    feather.write_feather(pa.table(CELLS | {"more": many}), tmp_path / "bomb", compression="zstd")
    assert (tmp_path / "bomb").stat().st_size < 10_000
    with pytest.raises(RecordError, match="column more: expected no categories"):
        read_feather(tmp_path / "bomb", COLUMNS, "do this")


@pytest.mark.parametrize("kind", BINARY)
def test_missing_columns_are_all_listed_and_others_must_be_there_once(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="expected the columns name, step, x; missing: step, x; do this"):
        reread(pa.table({"name": ["a"]}), kind, tmp_path)
    twice = pa.Table.from_arrays([pa.array([1])] * 4, names=["name", "step", "x", "x"])
    with pytest.raises(RecordError, match="expected each column once; more than one is called x; do this"):
        reread(twice, kind, tmp_path)
    with pytest.raises(RecordError, match="expected rows, found none; do this"):
        reread(pa.table(CELLS).slice(0, 0), kind, tmp_path)


@pytest.mark.parametrize("kind", BINARY)
def test_a_small_file_that_declares_many_rows_is_refused_unread(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 2_000_000
    table = pa.table({"name": pa.repeat("", rows), "step": np.zeros(rows, np.int64), "x": np.zeros(rows)})
    monkeypatch.setattr(table_files, "_conform", lambda *_: pytest.fail("it was read"))
    compressed = {"compression": "zstd"} | ({"chunksize": rows} if kind == "feather" else {})
    write, read = FORMATS[kind]
    write(table, tmp_path / "bomb", **compressed)
    assert (tmp_path / "bomb").stat().st_size < 50_000
    with pytest.raises(RecordError, match="expected at most 500,000 rows, found 2,000,000; do this"):
        read(tmp_path / "bomb", COLUMNS, "do this")


def test_cells_that_expand_without_end_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "_conform", lambda *_: pytest.fail("it was read"))
    table = pa.table({"name": pa.array(["x" * 1_000_000] * 100), "step": np.zeros(100), "x": np.zeros(100)})
    pq.write_table(table, tmp_path / "bomb", compression="zstd", use_dictionary=False)
    assert (tmp_path / "bomb").stat().st_size < 100_000
    with pytest.raises(RecordError, match="expected at most 64 MB, found 95 MB; do this"):
        read_parquet(tmp_path / "bomb", COLUMNS, "do this")


def test_a_file_beyond_all_sizes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(RecordError, match="a: expected at most 64 MB, found 100 MB; do this"):
        check_file_size(tmp_path / "a", "do this")
    for _, read in FORMATS.values():
        with pytest.raises(RecordError, match="a: expected at most 64 MB, found 100 MB; do this"):
            read(tmp_path / "a", COLUMNS, "do this")


def test_an_offset_that_leads_out_of_the_file_is_an_error_and_no_crash(tmp_path: Path) -> None:
    """Reading such a cell ends the process; `Table.validate(full=True)` finds it."""
    path = tmp_path / "a.feather"
    feather.write_feather(pa.table({**CELLS, "name": ["first", "second", "third"]}), path, compression="uncompressed")
    offsets = np.array([0, 5, 11, 16], "<i4").tobytes()
    data = path.read_bytes()
    assert data.count(offsets) == 1
    path.write_bytes(data.replace(offsets, np.array([0, 5, 2**30, 16], "<i4").tobytes()))
    with pytest.raises(RecordError, match=r"a\.feather: it cannot be parsed .*; do this"):
        read_feather(path, COLUMNS, "do this")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a first line with the names of the columns, found b''"),
        ("name,step,x", "expected a first line with the names"),
        ("name,step\na,0\n", "missing: x"),
        ("name,step,x,x\na,0,1,2\n", "more than one is called x"),
        ("name,step,x\na,0\n", "Expected 3 columns, got 2"),
        ("name,step,x\na,0.5,0\n", "invalid value '0.5'"),
        ("name,step,x\na,99999999999999999999,0\n", "invalid value"),
        ("name,step,x\na,1,nan\n", "column x, row 1: expected a finite number, found nan"),
        ("name,step,x\n,1,0\n", "column name, row 1: expected a value, found none"),
        ('name,step,x\n"' + "a\n" * 10_000_000, "cannot be parsed"),
    ],
)
def test_a_broken_text_table_is_named_with_the_reason(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(RecordError, match=rf"a\.csv: [\s\S]*{reason}[\s\S]*; do this$"):
        read_csv(tmp_path / "a.csv", COLUMNS, "do this")


def test_a_text_that_others_take_for_an_empty_cell_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("﻿name,step,x\r\nNA,0,1\r\nnull,1,2\r\n", encoding="utf-8")
    assert read_csv(tmp_path / "a.csv", COLUMNS, "do this")["name"].to_pylist() == ["NA", "null"]
