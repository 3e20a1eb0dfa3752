"""A Parquet file with one row per evaluated item, which pandas, polars and DuckDB read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perception.errors import InputError
from perception.files import whole_file, writing

RECORDS_FILE = "records.parquet"
_CURE = "evaluate a split that is not empty"


def write_records(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Writes rows as a table with a column for every key, in the order in which the keys first occur.

    A row without a key has null there. Types are inferred: Python and NumPy numbers, booleans, texts, lists and
    one-dimensional arrays of one type per column.

    Raises:
        InputError: There are no rows, the values of a column have no common type, or the file cannot be written.
    """
    if not rows:
        raise InputError(f"{path}: expected at least one record, got none; {_CURE}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column(path, name, [row.get(name) for row in rows]) for name in names}
    with whole_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


class RecordsWriter:
    """Writes tables of the same columns one after the other, each as soon as it is there.

    For evaluations of millions of items, of which no list of rows should be in memory. Used in a `with` statement: the
    file is there when that ends without an exception; until then, and otherwise, a former file stays as it was.

    Args:
        path: Path of the file; its folder is made where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def add(self, columns: Mapping[str, Sequence[object] | np.ndarray]) -> None:
        """Writes a table; all columns are equally long.

        Raises:
            InputError: The values of a column have no common type or not that of the tables before, or the file cannot
                be written.
        """
        table = pa.table({name: _column(self._path, name, values) for name, values in columns.items()})
        with writing(self._path):
            writer = self._writer or self._open(table.schema)
            if table.schema != writer.schema:
                before, now = (", ".join(map(str, of)) for of in (writer.schema, table.schema))
                raise InputError(f"{self._path}: expected the columns of the tables before, {before}; got {now}")
            writer.write_table(table)

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._unfinished, schema, compression="zstd")
        return self._writer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Puts the file in its place.

        Raises:
            InputError: Nothing was added, or the file cannot be written.
        """
        try:
            with writing(self._path):
                if self._writer is not None:
                    self._writer.close()
            if kind is None and self._writer is None:
                raise InputError(
                    f"{self._path}: expected at least one record, got none; evaluate a split that is not empty"
                )
            if kind is None:
                with whole_file(self._path) as temporary:
                    self._unfinished.replace(temporary)
        finally:
            with suppress(OSError):
                self._unfinished.unlink(missing_ok=True)


def _column(path: Path, name: str, values: Sequence[object] | np.ndarray) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise InputError(
            f"{path}: expected values of one type in column {name!r}, but {error}; give every record the same type"
        ) from error
