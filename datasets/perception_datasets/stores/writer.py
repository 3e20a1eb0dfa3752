"""Writes a split of a store part by part in parallel, and continues an interrupted run."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32

from perception.errors import InputError, first_of
from perception.files import alone_in
from perception_datasets.cluster_pool import cluster_pool
from perception_datasets.errors import Failures, RecordError, bad_file
from perception_datasets.folders import check_split, is_name
from perception_datasets.stores import part, shared_rows, store
from perception_datasets.stores.part import PackedRecord
from perception_datasets.stores.schema import Record, Schema
from perception_datasets.stores.sources import fingerprint
from perception_datasets.worker_pool import check_processes, stopping, worker_pool


@runtime_checkable  # for the type checks of the test run
class RawRecords(Protocol):
    """Records to write. It is sent to other processes."""

    def inputs(self, name: str) -> Sequence[Path]:
        """Returns the files that a record is read from; a folder stands for the files directly in it."""
        ...

    def read(self, name: str) -> Record:
        """Reads one record; raises RecordError if its files are broken."""
        ...


@dataclass
class Prepared:
    """Outcome of a part, or of several.

    Attributes:
        records: Number of records that were asked for.
        renewed: Number of records that were there and were read again, since their files have changed or the part was
            damaged.
        failures: Records that could not be read.
        read: Number of records that were read now; the others were there.
        seconds: Time that the processes spent in all, one after the other.
        stored_bytes: Size of the parts on disk.
        shared_bytes: Size on disk of what the records of a split share; the last of its parts states it.
    """

    records: int = 0
    renewed: int = 0
    failures: Failures = field(default_factory=Failures)
    read: int = field(default=0, compare=False)
    seconds: float = field(default=0.0, compare=False)
    stored_bytes: int = field(default=0, compare=False)
    shared_bytes: int = field(default=0, compare=False)

    def add(self, other: Prepared) -> None:
        """Adds the outcome of further parts."""
        self.records += other.records
        self.renewed += other.renewed
        self.failures.reasons.update(other.failures.reasons)
        self.read += other.read
        self.seconds += other.seconds
        self.stored_bytes += other.stored_bytes
        self.shared_bytes += other.shared_bytes


def write_split(
    folder: Path,
    info: store.StoreInfo,
    split: str,
    names: Sequence[str],
    raw: RawRecords,
    *,
    part_records: int | None = None,
    processes: int | None = None,
    cluster: str | None = None,
    replace: bool = False,
) -> Generator[Prepared, None, None]:
    """Writes the named records to a split of a store; creates the store if there is none.

    Records that the split holds already are kept if their files have not changed. Those that could not be read are
    tried again, since the files may have been repaired.

    Args:
        folder: Folder of the store.
        info: Attributes of the store.
        split: Name of the split.
        names: Names of its records, in order.
        raw: Reads the records.
        part_records: Number of records per part; a process holds one part in memory, as it was and as it becomes.
        processes: Number of processes; all cores if not given.
        cluster: Address of a Ray cluster whose processes do the work instead; see `cluster_pool`.
        replace: Whether to drop records that the split holds and `names` lacks.

    Yields:
        The outcome of each part, once it is complete.

    Raises:
        InputError: The store cannot be written, another process writes to it, or records would be dropped.
    """
    check_split(split)
    check_processes(processes)
    store.check_place(folder, info)  # before the lock leaves a file there
    with alone_in(folder, "perception prepare") as lock:
        store.create_store(folder, info)
        if not replace:
            _check_kept(folder, split, info.schema, names)
        for unfinished in store.unfinished_folders(folder, split):
            shutil.rmtree(unfinished)
        shared_rows.remove_damaged_segments(folder / split)
        size = part_records or store.PART_RECORDS
        parts = [list(names[start : start + size]) for start in range(0, len(names), size)]
        paths = [store.part_path(folder, split, number) for number in range(len(parts))]
        workers = cluster_pool(cluster) if cluster else worker_pool(processes, lock, folder / split)
        with workers as pool:
            outcomes = pool.map(partial(_write_part, info.schema, raw, secrets.token_hex(4)), paths, parts)
            for number, outcome in enumerate(outcomes, 1):
                if number == len(parts):
                    outcome.shared_bytes = sum(map(_size_on_disk, shared_rows.segment_folders(folder / split)))
                yield outcome
        for left_over in set(store.part_folders(folder, split)) - set(paths):
            part.remove_part(left_over)
        own = tuple(part.read_index(path, info.schema).digest for path in paths)
        segments = tuple(map(shared_rows.segment_digest, shared_rows.segment_folders(folder / split)))
        store.finish_split(folder, split, store.SplitInfo(own, segments))


def _check_kept(folder: Path, split: str, schema: Schema, names: Sequence[str]) -> None:
    """Raises InputError if the split holds records that are not among the names."""
    wanted, dropped = set(names), []
    for path in store.part_folders(folder, split):
        try:
            dropped += [name for name in part.read_index(path, schema).names if name not in wanted]
        except RecordError:  # a damaged part is written again
            continue
    if dropped:
        raise InputError(
            f"{folder / split}: expected all of its records in the data, found none of {len(dropped)} "
            f"({first_of(sorted(dropped), 3)}); give --replace to drop them, or "
            "another folder"
        )


class _Stopped(Exception):
    """The parent stops, and nobody waits for the outcome."""


@lru_cache(maxsize=1)
def _row_writer(place: Path, _run: str) -> shared_rows.RowWriter:
    """Returns what this process knows of a split's table; kept from part to part of one run."""
    return shared_rows.RowWriter(place)


def _write_part(schema: Schema, raw: RawRecords, run: str, path: Path, names: list[str]) -> Prepared:
    """Brings a part up to date; writes nothing if it holds what it should."""
    start = time.perf_counter()
    table = _row_writer(path.parent, run)
    table.refresh()
    index, intact = part.read_intact(path, schema, table.rows) or (None, {})
    outcome = Prepared(len(names))
    records: dict[str, PackedRecord] = {}
    for name in names:
        if stopping():
            raise _Stopped
        try:
            source = _fingerprint(raw, name)
            kept = intact.get(name)
            if kept is not None and kept.source == source:
                records[name] = kept
            else:
                records[name] = PackedRecord(*schema.pack(raw.read(name)), source)
                outcome.read += 1
                outcome.renewed += index is not None and name in index.names
        except RecordError as error:
            outcome.failures.add(name, error)
    failures = outcome.failures.reasons
    if index is None or (list(intact.items()), index.failures) != (list(records.items()), failures):
        part.write_part(path, schema, records, failures, _places(table, schema, records))
    outcome.stored_bytes = _size_on_disk(path)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _places(
    table: shared_rows.RowWriter, schema: Schema, records: Mapping[str, PackedRecord]
) -> dict[str, Int32[np.ndarray, "*_"]]:
    """Returns where the shared rows of each record are in the table; new ones are added in one segment."""
    shapes = {name: schema.table_shape(record.shapes) for name, record in records.items()}
    places = table.places([_rows_of(record, shapes[name]) for name, record in records.items()])
    return dict(zip(records, places, strict=True))


def _rows_of(record: PackedRecord, shape: tuple[int, int]) -> shared_rows.Rows:
    return np.frombuffer(record.rows, np.uint8).reshape(shape)


def _size_on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def verify_split(folder: Path, split: str, schema: Schema) -> Generator[Prepared, None, None]:
    """Reads every record of a split and compares it with its digest; nothing is changed.

    Yields:
        For each part the number of its records, and which of them are damaged.

    Raises:
        InputError: The split is missing or incomplete.
    """
    found = store.read_split(folder, split)
    table, errors = shared_rows.verify_segments(folder / split, found.segments)
    if errors:
        damaged = Prepared(len(errors))
        for name, error in errors.items():
            damaged.failures.add(name, error)
        yield damaged
    for number, own in enumerate(found.parts):
        path, outcome = store.part_path(folder, split, number), Prepared()
        index, intact = part.read_intact(path, schema, table) or (None, {})
        if index is None or index.digest != own:
            outcome.records = 1
            outcome.failures.add(path.name, bad_file(path, "expected the part that its split lists", part.CURE))
        else:
            outcome.records = len(index.names)
            for name in (name for name in index.names if name not in intact):
                outcome.failures.add(name, bad_file(path, f"record {name} is damaged", part.CURE))
        yield outcome


def _fingerprint(raw: RawRecords, name: str) -> str:
    if not is_name(name):
        raise RecordError(f"{name!r}: expected a name of letters, digits, _, - and .; rename its files")
    return fingerprint(raw.inputs(name))
