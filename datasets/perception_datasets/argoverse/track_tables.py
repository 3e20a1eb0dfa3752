"""Conversion of track tables (one row per track and step) to [agents, steps] arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int

from perception_datasets.errors import bad_file

MAX_TRACKS = 2000
MAX_CELLS = 2_000_000
"""Number of tracks and of track steps that fit in memory with all that is computed from them; records have 100 times
fewer."""


def encode(column: pa.ChunkedArray) -> tuple[list[str], Int[np.ndarray, " rows"]]:
    """Returns the distinct texts of a column in alphabetical order, and for each row the index of its text.

    A dictionary may hold texts that no row has, and the same text twice.
    """
    chunk = column.combine_chunks()
    codes = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    indices = codes.indices.to_numpy()
    used = np.flatnonzero(np.bincount(indices))
    texts = codes.dictionary.take(pa.array(used)).to_pylist()
    names = sorted(set(texts))
    place = {name: index for index, name in enumerate(names)}
    rank = np.zeros(used.max(initial=-1) + 1, dtype=np.int64)
    rank[used] = [place[text] for text in texts]
    return names, rank[indices]


def the_only(path: Path, table: pa.Table, name: str, cure: str) -> str:
    """Returns the text that all rows of a column share; raises RecordError if there are several."""
    names, _ = encode(table[name])
    if len(names) != 1:
        raise bad_file(path, f"column {name}: expected one value in all rows, found {', '.join(names[:3])}", cure)
    return names[0]


def first_rows(agent: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " agents"]:
    """Returns the first row of each track."""
    return np.unique(agent, return_index=True)[1]


def observed(
    path: Path, ids: list[str], agent: Int[np.ndarray, " rows"], step: Int[np.ndarray, " rows"], steps: int
) -> Bool[np.ndarray, "agents steps"]:
    """Returns where the table has a row.

    Raises:
        RecordError: It has several for one track and step, or more tracks or steps than can be handled.
    """
    if len(ids) > MAX_TRACKS or len(ids) * steps > MAX_CELLS:
        reason = (
            f"expected at most {MAX_TRACKS:,} tracks and {MAX_CELLS:,} track steps, found {len(ids)} tracks of {steps}"
        )
        raise bad_file(path, reason, "split the record")
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
