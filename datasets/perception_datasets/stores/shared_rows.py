"""The table of rows that the records of a split share: each distinct row, such as a lane of a map, is stored once.

The table is the rows of its segments (`rows-00000`, `rows-00001`, …) one after the other, and records refer to them by
their places. A segment is a part of the store with a single record, so it has the same digests and checksums. It is
never changed. Processes that write at the same time find out who adds the next segment by renaming a finished folder,
which succeeds for one of them; the others read what it added and try again with what is still missing. So no process
waits for a lock, and none that is killed leaves one behind.

A record's digest covers its rows. If a damaged table is replaced by one in another order, records that refer to the
former one are noticed and read again. Rows that no record refers to any more stay until the store is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from perception.errors import InputError
from perception_datasets.errors import RecordError, bad_file
from perception_datasets.stores import part
from perception_datasets.stores.part import CURE, PackedRecord
from perception_datasets.stores.schema import Schema

Rows = UInt8[np.ndarray, "_ _"]
"""One row after the other, each as its bytes."""

SEGMENT = "rows-"
_SCHEMA = Schema((("rows", "|u1", 2),))


def segment_path(place: Path, number: int) -> Path:
    """Returns the folder of a segment of a split's table."""
    return place / f"{SEGMENT}{number:05d}"


def segment_folders(place: Path) -> list[Path]:
    """Returns the folders of all segments in a split's folder, also of those that the split does not list."""
    return sorted(path for path in place.glob(f"{SEGMENT}*") if path.name[len(SEGMENT) :].isdigit())


def segment_digest(path: Path) -> str:
    """Returns the digest that tells a segment from others.

    Raises:
        RecordError: The segment is missing or its index is damaged.
    """
    return part.read_index(path, _SCHEMA).digest


def read_segment(path: Path, own: str) -> Rows:
    """Returns the rows of the segment that has a digest.

    Raises:
        RecordError: The segment is missing, damaged or another one.
    """
    (record,) = part.read_part(path, own, _SCHEMA)
    return record["rows"]


@lru_cache(maxsize=4)
def open_rows(place: Path, segments: tuple[str, ...]) -> Rows:
    """Returns the table whose segments have these digests; it is kept for further reads.

    Raises:
        RecordError: A segment is missing, damaged or another one.
    """
    return _joined([read_segment(segment_path(place, number), own) for number, own in enumerate(segments)])


def remove_damaged_segments(place: Path) -> None:
    """Deletes the first segment that is missing or damaged, and all after it, whose rows have no certain place then."""
    whole = len(_read_further(place, 0))
    for path in segment_folders(place):
        if int(path.name[len(SEGMENT) :]) >= whole:
            part.remove_part(path)


def verify_segments(place: Path, segments: Sequence[str]) -> tuple[Rows, dict[str, RecordError]]:
    """Returns the rows up to the first damaged segment, and the error of each damaged segment by its name."""
    whole: list[Rows] = []
    errors: dict[str, RecordError] = {}
    for number, own in enumerate(segments):
        path = segment_path(place, number)
        try:
            rows = read_segment(path, own)
        except RecordError:
            errors[path.name] = bad_file(path, "expected the rows that its split lists", CURE)
        else:
            whole += [] if errors else [rows]
    return _joined(whole), errors


class RowWriter:
    """Finds the places of rows in the table of a split, and adds those that it lacks.

    Args:
        place: Folder of the split.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._count = 0
        self._segments: list[Rows] = []
        self._known: dict[bytes, int] = {}

    @property
    def rows(self) -> Rows:
        """All rows that are known to this process."""
        if len(self._segments) > 1:
            self._segments = [_joined(self._segments)]
        return _joined(self._segments)

    def refresh(self) -> None:
        """Takes in what other processes have added."""
        for rows in _read_further(self._place, self._count):
            first = sum(map(len, self._segments))
            self._count += 1
            self._segments.append(rows)
            for place, row in enumerate(_keys(rows), first):
                self._known.setdefault(row, place)

    def places(self, records: Sequence[Rows]) -> list[Int32[np.ndarray, "*_"]]:
        """Returns the places of the rows of several records in the table; those that it lacks become one segment.

        Raises:
            InputError: The table cannot be written, or the rows differ in their length.
        """
        sizes = {rows.shape[1] for rows in (*records, *self._segments[:1]) if len(rows)}
        if len(sizes) > 1:
            raise InputError(
                f"{self._place}: expected shared rows of one length, found {sorted(sizes)} bytes; give each polyline "
                "as many points, or prepare them into stores of their own"
            )
        keys = [_keys(rows) for rows in records]
        while missing := [row for row in dict.fromkeys(chain.from_iterable(keys)) if row not in self._known]:
            self._add(missing)
        return [np.array([self._known[row] for row in own], dtype=np.int32) for own in keys]

    def _add(self, missing: list[bytes]) -> None:
        """Adds a segment with the missing rows, or takes in the segment that another process added first."""
        record = {"rows": np.frombuffer(b"".join(missing), np.uint8).reshape(len(missing), -1)}
        before = self._count
        path = segment_path(self._place, before)
        part.write_part(
            path, _SCHEMA, {"rows": PackedRecord(*_SCHEMA.pack(record), source="rows")}, failures={}, replace=False
        )
        self.refresh()
        if self._count == before:
            raise bad_file(path, "expected the rows that were written, found a damaged part", CURE)


def _read_further(place: Path, first: int) -> list[Rows]:
    """Returns the rows of the segments from a number on, up to the first that is missing or damaged."""
    found: list[Rows] = []
    while (path := segment_path(place, first + len(found))).is_dir():
        try:
            found.append(read_segment(path, segment_digest(path)))
        except RecordError:
            break
    return found


def _joined(segments: Sequence[Rows]) -> Rows:
    return np.concatenate(segments) if segments else np.zeros((0, 0), np.uint8)


def _keys(rows: Rows) -> list[bytes]:
    """Returns each row as bytes."""
    whole, size = rows.tobytes(), rows.shape[1]
    return [whole[start : start + size] for start in range(0, len(whole), size)] if size else []
