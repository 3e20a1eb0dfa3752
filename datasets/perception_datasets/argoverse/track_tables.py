"""Conversion of track tables (one row per track and step) to [agents, steps] arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from perception_datasets.errors import bad_file


def check_columns(path: Path, table: pa.Table, expected: dict[str, pa.DataType], cure: str) -> None:
    """Raises RecordError if a column is missing or has empty or non-finite cells, or if there are no rows."""
    missing = [name for name in expected if name not in table.column_names]
    if missing:
        raise bad_file(path, f"expected the columns {', '.join(expected)}; missing: {', '.join(missing)}", cure)
    if table.num_rows == 0:
        raise bad_file(path, "expected rows, found none", cure)
    for name, kind in expected.items():
        column = table[name]
        if column.null_count or (pa.types.is_floating(kind) and not np.isfinite(column.to_numpy()).all()):
            raise bad_file(path, f"column {name} has missing or non-finite values", cure)


def encode(column: pa.ChunkedArray) -> tuple[list[str], Int[np.ndarray, " rows"]]:
    """Returns the distinct texts of a column in alphabetical order, and for each row the index of its text."""
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
    """Returns where the table has a row; raises RecordError if it has several for one track and step."""
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
    """Returns the values of the columns as an [agents, steps] array; 0 where there is no row."""
    grid = np.zeros((*valid.shape, len(columns)))
    for index, column in enumerate(columns):
        grid[agent, step, index] = column
    return grid
