"""Writes a split of a store part by part in parallel, and continues an interrupted run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from perception_datasets.errors import Failures, RecordError
from perception_datasets.stores import store


def write_split(
    folder: Path,
    info: store.StoreInfo,
    split: str,
    names: Sequence[str],
    read: Callable[[str], store.Record],
    *,
    part_records: int | None = None,
    processes: int | None = None,
) -> Generator[tuple[int, Failures], None, None]:
    """Writes the named records to a split of a store; creates the store if there is none.

    A part with records that could not be read is written again in a later run, since the files may have been repaired.

    Args:
        folder: Folder of the store.
        info: Attributes of the store.
        split: Name of the split.
        names: Names of its records, in order.
        read: Returns the record of a name, or raises RecordError. It is sent to other processes.
        part_records: Number of records per part; a process holds one part in memory.
        processes: Number of processes; all cores if not given.

    Yields:
        For each part, once it is complete: the number of its names, and the records that could not be read.
    """
    store.create_store(folder, info)
    size = part_records or store.PART_RECORDS
    parts = [list(names[start : start + size]) for start in range(0, len(names), size)]
    paths = [store.part_path(folder, split, part) for part in range(len(parts))]
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for part, failures in zip(parts, pool.map(partial(_write_part, info.schema, read), paths, parts), strict=True):
            yield len(part), failures
    for left_over in (folder / split).iterdir() if parts else ():
        if left_over.is_dir() and left_over not in paths:
            shutil.rmtree(left_over)
    store.finish_split(folder, split, len(parts))


def _write_part(schema: store.Schema, read: Callable[[str], store.Record], path: Path, names: list[str]) -> Failures:
    failures = Failures()
    if not store.part_is_done(path, names):
        records = {}
        for name in names:
            try:
                records[name] = read(name)
            except RecordError as error:
                failures.add(name, error)
        store.write_part(path, schema, records, failures.reasons)
    return failures
