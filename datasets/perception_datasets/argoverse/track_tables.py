"""Rows of a track table (one a track and step) on the [agents, steps] grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from perception_datasets.errors import bad_file


def check_columns(path: Path, table: pa.Table, expected: dict[str, pa.DataType], cure: str) -> None:
    """Raises RecordError where a column is missing or has empty or non-finite cells, or where there are no rows."""
    missing = [name for name in expected if name not in table.column_names]
    if missing:
        raise bad_file(path, f"expected the columns {', '.join(expected)}; {', '.join(missing)} missing", cure)
    if table.num_rows == 0:
        raise bad_file(path, "it has columns but no rows", cure)
    for name, kind in expected.items():
        column = table[name]
        if column.null_count or (pa.types.is_floating(kind) and not np.isfinite(column.to_numpy()).all()):
            raise bad_file(path, f"column {name} has missing or infinite values", cure)


def encode(column: pa.ChunkedArray) -> tuple[list[str], Int[np.ndarray, " rows"]]:
    """The distinct texts of a column in alphabetical order and, for each row, which of them it holds."""
    chunk = column.combine_chunks()
    codes = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    names = codes.dictionary.to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return [names[code] for code in order], rank[codes.indices.to_numpy()]


def observed(
    path: Path, ids: list[str], agent: Int[np.ndarray, " rows"], step: Int[np.ndarray, " rows"], steps: int
) -> Bool[np.ndarray, "agents steps"]:
    """Where the table has a row; RecordError where it has two for one track and step."""
    valid = np.zeros((len(ids), steps), bool)
    valid[agent, step] = True
    if valid.sum() != len(agent):
        cell, count = np.unique(agent * steps + step, return_counts=True)
        twice = cell[count > 1][0]
        reason = f"track {ids[twice // steps]} has {count[cell == twice][0]} rows for step {twice % steps}"
        raise bad_file(path, reason, "keep one row for each track and time stamp")
    return valid


def spread(
    columns: list[Float[np.ndarray, " rows"]],
    agent: Int[np.ndarray, " rows"],
    step: Int[np.ndarray, " rows"],
    valid: Bool[np.ndarray, "agents steps"],
) -> Float[np.ndarray, "agents steps columns"]:
    """The columns' values on the grid; 0 where there is no row."""
    grid = np.zeros((*valid.shape, len(columns)))
    for index, column in enumerate(columns):
        grid[agent, step, index] = column
    return grid
