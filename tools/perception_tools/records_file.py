"""A Parquet file with one row per evaluated item, which pandas, polars and DuckDB read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from perception.errors import InputError
from perception.files import whole_file

RECORDS_FILE = "records.parquet"


def write_records(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Writes rows as a table with a column for every key, in the order in which the keys first occur.

    A row without a key has null there. Types are inferred: Python and NumPy numbers, booleans, texts, lists and
    one-dimensional arrays of one type per column.

    Raises:
        InputError: There are no rows, the values of a column have no common type, or the file cannot be written.
    """
    if not rows:
        raise InputError(f"{path}: expected at least one record, got none; evaluate a split that is not empty")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column(path, name, [row.get(name) for row in rows]) for name in names}
    with whole_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


class RecordsWriter:
    """Writes tables of the same columns one after the other, each as soon as it is there.

    For evaluations of millions of items, of which no list of rows should be in memory.

    Args:
        path: Path that is written to.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._writer = path, None

    def add(self, columns: Mapping[str, Sequence[object] | np.ndarray]) -> None:
        """Writes a table; all columns are equally long.

        Raises:
            InputError: The values of a column have no common type.
        """
        table = pa.table({name: _column(self._path, name, values) for name, values in columns.items()})
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def close(self) -> None:
        """Ends the file, which is not one if nothing was added."""
        if self._writer is not None:
            self._writer.close()


def _column(path: Path, name: str, values: Sequence[object] | np.ndarray) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise InputError(
            f"{path}: expected values of one type in column {name!r}, but {error}; give every record the same type"
        ) from error
