"""Reads tables from CSV, Parquet and Feather files; returns only what was validated and has the expected columns.

Arrow trusts the lengths and offsets in a file. A single wrong bit in one of them ends the process when a cell is read,
unless the table is validated first, and a small file can declare any number of rows.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq
from jaxtyping import Bool, Num
from pyarrow.fs import LocalFileSystem

from perception.traffic.scenario import COORDINATE_LIMIT_M
from perception_datasets.errors import RecordError, bad_file, reading

MAX_FILE_BYTES = 64 << 20
"""The largest file of both data sets' forecasting records is below 1 MB; a map of a city has 14 MB."""
MAX_ROWS = 500_000
"""Argoverse 2's longest tables have some 20,000 rows."""
MAX_TEXT = 200
_MAX_HEADER_BYTES = 4096


@dataclass(frozen=True)
class Column:
    """What the cells of a column must be; no cell may be empty.

    Attributes:
        kind: `pa.string()`, `pa.int64()` or `pa.float64()`. Other types are converted if that changes no value.
        low: Smallest number.
        high: Largest number.
    """

    kind: pa.DataType
    low: float = -np.inf
    high: float = np.inf


TEXT = Column(pa.string())
TIME_NS = Column(pa.int64(), 0.0, 2.0**62)
METRES = Column(pa.float64(), -COORDINATE_LIMIT_M, COORDINATE_LIMIT_M)
SIZE_M = Column(pa.float64(), 0.0, 1000.0)
METRES_PER_S = Column(pa.float64(), -1000.0, 1000.0)
RADIANS = Column(pa.float64(), -1000.0, 1000.0)


def read_csv(path: Path, columns: Mapping[str, Column], cure: str) -> pa.Table:
    """Reads the given columns of a CSV file, whose first line names them.

    Raises:
        RecordError: The file cannot be read, or a cell is not what its column expects.
    """
    with reading(path, cure):
        check_file_size(path, cure)
        with path.open("rb") as file:
            header, *rest = re.split(rb"[\r\n]", file.read(_MAX_HEADER_BYTES), maxsplit=1)
        if not rest:
            raise bad_file(path, f"expected a first line with the names of the columns, found {header[:40]!r}", cure)
        _check_names(path, next(csv.reader([header.decode("utf-8-sig")]), []), columns, cure)
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(use_threads=False),
            convert_options=pa_csv.ConvertOptions(
                column_types={name: column.kind for name, column in columns.items()},
                include_columns=list(columns),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        return _conform(path, table, columns, cure)


def read_parquet(path: Path, columns: Mapping[str, Column], cure: str) -> pa.Table:
    """Reads the given columns of a Parquet file; raises as `read_csv` does."""
    texts = [name for name, column in columns.items() if pa.types.is_string(column.kind)]
    with reading(path, cure):
        check_file_size(path, cure)
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            _check_names(path, file.schema_arrow.names, columns, cure)
            _check_rows(path, file.metadata.num_rows, cure)
            sizes = [
                group.column(column).total_uncompressed_size
                for group in map(file.metadata.row_group, range(file.metadata.num_row_groups))
                for column in range(group.num_columns)
            ]
            if sum(map(abs, sizes)) > MAX_FILE_BYTES:
                raise bad_file(path, f"expected at most {MAX_FILE_BYTES >> 20} MB, found {sum(sizes) >> 20} MB", cure)
            table = file.read(list(columns), use_threads=False)
        return _conform(path, table, columns, cure)


def read_feather(path: Path, columns: Mapping[str, Column], cure: str) -> pa.Table:
    """Reads the given columns of a Feather file (Arrow's IPC format); raises as `read_csv` does."""
    with reading(path, cure):
        check_file_size(path, cure)
        data = pa.BufferReader(path.read_bytes())
        with pa.ipc.open_file(data) as file:
            schema = file.schema
        names = schema.names
        _check_names(path, names, columns, cure)
        for field in schema:
            if "dictionary<" in str(field.type):  # its values are read at once, however many the file declares
                reason = f"column {field.name}: expected no categories, found {field.type}"
                raise bad_file(path, reason, "store the values themselves")
        # Counts from the headers of the batches; reading them would allocate whatever they declare.
        fragment = pa_dataset.IpcFileFormat().make_fragment(path, filesystem=LocalFileSystem())
        _check_rows(path, fragment.count_rows(use_threads=False), cure)
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=sorted(map(names.index, columns)))
        with pa.ipc.open_file(data, options=options) as file:
            table = file.read_all()
        return _conform(path, table, columns, cure)


def check_file_size(path: Path, cure: str, largest: int = MAX_FILE_BYTES) -> None:
    """Raises RecordError if a file has more bytes than any file of its kind."""
    size = path.stat().st_size
    if size > largest:
        raise bad_file(path, f"expected at most {largest >> 20} MB, found {size >> 20} MB", cure)


def _check_names(path: Path, names: list[str], columns: Mapping[str, Column], cure: str) -> None:
    missing = [name for name in columns if name not in names]
    if missing:
        raise bad_file(path, f"expected the columns {', '.join(columns)}; missing: {', '.join(missing)}", cure)
    twice = [name for name in columns if names.count(name) > 1]
    if twice:
        raise bad_file(path, f"expected each column once; more than one is called {', '.join(twice)}", cure)


def _check_rows(path: Path, rows: int, cure: str) -> None:
    if rows == 0:
        raise bad_file(path, "expected rows, found none", cure)
    if not 0 < rows <= MAX_ROWS:
        raise bad_file(path, f"expected at most {MAX_ROWS:,} rows, found {rows:,}", cure)


def _conform(path: Path, table: pa.Table, columns: Mapping[str, Column], cure: str) -> pa.Table:
    """Returns the columns in their types: texts as dictionaries of strings."""
    _check_rows(path, table.num_rows, cure)
    table.validate(full=True)
    return pa.table({name: _Cells(path, name, column, cure).conform(table[name]) for name, column in columns.items()})


@dataclass(frozen=True)
class _Cells:
    """Conversion of one column, with what an error must name."""

    path: Path
    name: str
    column: Column
    cure: str

    def conform(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        if pa.types.is_string(self.column.kind):
            return self._texts(cells.unify_dictionaries())
        cells = _decoded(cells)
        whole = pa.types.is_integer(self.column.kind)
        if not (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)):
            raise self._bad(f": expected {'whole ' * whole}numbers, found {cells.type}")
        self._refuse_empty(cells)
        values = cells.to_numpy()
        if values.dtype.kind == "f":
            values = values.astype(np.float64)  # bounds overflow the half precision of LiDAR sweeps
            self._check(values, np.isfinite(values), "a finite number")
            self._check(values, (values == np.rint(values)) | (not whole), "a whole number")
        low, high = self.column.low, self.column.high
        self._check(values, (values >= low) & (values <= high), f"a number from {low:g} to {high:g}")
        return pa.chunked_array([values.astype(np.int64 if whole else np.float64)])

    def _texts(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
            raise self._bad(f": expected text, found {kind}")
        if not pa.types.is_string(kind):
            cells = _decoded(cells).cast(pa.string())
        if not pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_encode()
        longest = max((len(text) for chunk in cells.chunks for text in chunk.dictionary.to_pylist()), default=0)
        if longest > MAX_TEXT:
            raise self._bad(f": expected texts of at most {MAX_TEXT} characters, found one of {longest}")
        self._refuse_empty(cells)
        return cells

    def _refuse_empty(self, cells: pa.ChunkedArray) -> None:
        if cells.null_count:
            row = cells.is_null().index(True).as_py()
            raise self._bad(f", row {row + 1}: expected a value, found none")

    def _check(self, values: Num[np.ndarray, " rows"], good: Bool[np.ndarray, " rows"], expected: str) -> None:
        if not good.all():
            row = int(good.argmin())
            raise self._bad(f", row {row + 1}: expected {expected}, found {values[row]}")

    def _bad(self, reason: str) -> RecordError:
        return bad_file(self.path, f"column {self.name}{reason}", self.cure)


def _decoded(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    return cells.cast(cells.type.value_type) if pa.types.is_dictionary(cells.type) else cells
