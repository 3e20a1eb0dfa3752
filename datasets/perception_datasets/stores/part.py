"""A part of a store's split: some records in one file, and an index that holds a digest of each.

A part is a Zarr group with one array, `bytes`, in a single chunk: the records, each compressed by itself
(`perception_datasets.stores.frames`), one after the other. So a record is read by one short read of one file. The
group's attributes are the index, in lists with an item for each record:

    names      names of the records
    shapes     shapes of all fields of the record, in a row
    digests    digest of the record's bytes, those of its shared rows included
    sizes      number of bytes of the compressed record
    checksums  CRC-32 of the compressed record
    sources    fingerprint of the files that the record was read from
    failures   why other records could not be read, by name

Nothing in a part is believed before it was checked. Compressed bytes have a checksum, so that damaged ones are not
decompressed. The digests tell of whatever else differs, such as another table of shared rows. The array's metadata must
be exactly what is written here. It says where the bytes are, so that they are read without Zarr, which takes about a
millisecond for however little; and it names no codec, so that none is ever taken from a file.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Int, Int32, UInt8

from perception.errors import InputError
from perception.files import writing
from perception_datasets.errors import RecordError, bad_file, reading
from perception_datasets.folders import is_name
from perception_datasets.stores.frames import read_frame, write_frame
from perception_datasets.stores.group import METADATA, digest, read_group, write_group
from perception_datasets.stores.schema import Schema

CURE = "run `perception prepare` again; it reads again what is damaged or missing"
ARRAY = "bytes"
CHUNK = f"{ARRAY}/c/0"

NO_ROWS = np.zeros((0, 0), np.uint8)
"""The table of records that share no rows."""

_MAX_COMPRESSION = 1024
_SMALL_BYTES = 1 << 26
"""A record may state at most this size, or `_MAX_COMPRESSION` times its compressed one."""


@dataclass(frozen=True)
class PackedRecord:
    """A record as bytes.

    Attributes:
        data: Its own fields.
        rows: Its shared rows.
        shapes: Shapes of all fields, in a row.
        source: Fingerprint of its source files.
    """

    data: bytes
    rows: bytes
    shapes: list[int]
    source: str

    @property
    def digest(self) -> str:
        """Digest of its bytes."""
        return digest(self.data, self.rows)


@dataclass(frozen=True)
class PartIndex:
    """Index of a part.

    Attributes:
        names: Names of the records.
        shapes: Shapes of all fields of each record.
        ends: Where each compressed record starts in `bytes`, and where the last one ends.
        digests: Digest of each record's bytes.
        checksums: CRC-32 of each compressed record.
        sources: Fingerprint of each record's source files.
        failures: Why other records could not be read, by name.
        digest: Digest of all of these.
    """

    names: tuple[str, ...]
    shapes: Int[np.ndarray, "records axes"]
    ends: Int[np.ndarray, " ends"]
    digests: tuple[str, ...]
    checksums: tuple[int, ...]
    sources: tuple[str, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


def write_part(
    path: Path,
    schema: Schema,
    records: Mapping[str, PackedRecord],
    failures: Mapping[str, str],
    places: Mapping[str, Int32[np.ndarray, "*_"]] | None = None,
    *,
    replace: bool = True,
) -> bool:
    """Writes a part to a hidden folder and renames it.

    Args:
        path: Folder of the part.
        schema: Fields of the records.
        records: The records by name.
        failures: Why other records could not be read, by name.
        places: Where the shared rows of each record are in the table of its split; none if they share no rows.
        replace: Whether to replace a part that is there. Otherwise it stays, also one that another process writes at
            the same time.

    Returns:
        Whether the part was written.

    Raises:
        InputError: It cannot be written, or other files are in its place.
    """
    unfinished = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    places, none = places or {}, np.zeros(0, np.int32)
    with writing(path):
        try:
            unfinished.mkdir(parents=True)
            frames = [write_frame(schema, r.data, places.get(name, none), r.shapes) for name, r in records.items()]
            _write_array(unfinished / ARRAY, b"".join(frames))
            index = {
                "names": list(records),
                "shapes": [list(record.shapes) for record in records.values()],
                "digests": [record.digest for record in records.values()],
                "sizes": [len(frame) for frame in frames],
                "checksums": [zlib.crc32(frame) for frame in frames],
                "sources": [record.source for record in records.values()],
                "failures": dict(failures),
            }
            write_group(unfinished, index)
            if replace:
                remove_part(path)
            unfinished.rename(path)
        except OSError as error:
            if not replace and error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # another process was first
                return False
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return True


def remove_part(path: Path) -> None:
    """Deletes a part, if there is one; its split is then incomplete.

    Raises:
        InputError: The folder holds other files than a part does.
    """
    if path.is_symlink() or path.is_file():
        raise InputError(f"{path}: expected a part of a store, found a file or a link; move it away")
    if path.is_dir():
        others = sorted(entry.name for entry in path.iterdir() if entry.name not in (METADATA, ARRAY))
        if others:
            raise InputError(f"{path}: expected a part of a store, found {others[0]} in it; move it away")
        with writing(path):
            (path.parent / METADATA).unlink(missing_ok=True)
            shutil.rmtree(path)


def read_index(path: Path, schema: Schema) -> PartIndex:
    """Reads the index of a part.

    Raises:
        RecordError: The index is missing or damaged.
    """
    with reading(path, CURE):
        group = read_group(path, CURE)
        if group is None:
            raise bad_file(path, "expected a part of a store, found none", CURE)
        lists, own = group
        names, digests, sources = (tuple(lists[key]) for key in ("names", "digests", "sources"))
        sizes, checksums = (tuple(lists[key]) for key in ("sizes", "checksums"))
        shapes = np.array(lists["shapes"], dtype=np.int64).reshape(len(names), schema.axes)
        texts, numbers = (*names, *digests, *sources), (*sizes, *checksums)
        if len({len(names), len(set(names)), *map(len, (digests, sources, sizes, checksums))}) > 1:
            raise ValueError("expected a name, a digest, a size, a checksum and a fingerprint of each record")
        if not all(map(is_name, texts)) or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("expected names, digests and fingerprints as texts, sizes and checksums as numbers")
        if shapes.size and shapes.min() < 0:
            raise ValueError(f"expected sizes from 0, found {shapes.min()}")
        ends = np.cumsum([0, *sizes], dtype=np.int64)
        for size, row in zip(sizes, shapes.tolist(), strict=True):
            _check_size(schema, size, row)
        return PartIndex(names, shapes, ends, digests, checksums, sources, dict(lists["failures"]), own)


def read_record(
    path: Path, part_digest: str, row: int, schema: Schema, table: UInt8[np.ndarray, "rows row_bytes"] = NO_ROWS
) -> dict[str, np.ndarray]:
    """Reads one record of the part that has a digest; its shared rows are those of the split's `table`.

    Raises:
        RecordError: The part is missing, damaged or another one.
    """
    with reading(path, CURE):
        index = _open_part(path, part_digest, schema)
        start, end = index.ends[row : row + 2].tolist()
        frame = _read_bytes(path / CHUNK, start, end)
        return schema.unpack(*_restored(path, index, row, frame, schema, table), index.shapes[row].tolist())


def read_part(
    path: Path, part_digest: str, schema: Schema, table: UInt8[np.ndarray, "rows row_bytes"] = NO_ROWS
) -> list[dict[str, np.ndarray]]:
    """Reads all records of a part at once, for records so small that one read each would be slow.

    Raises:
        RecordError: The part is missing, damaged or another one.
    """
    with reading(path, CURE):
        index = _open_part(path, part_digest, schema)
        return [
            schema.unpack(*_restored(path, index, row, frame, schema, table), index.shapes[row].tolist())
            for row, frame in enumerate(_frames(path, index))
        ]


def read_intact(
    path: Path, schema: Schema, table: UInt8[np.ndarray, "rows row_bytes"] = NO_ROWS
) -> tuple[PartIndex, dict[str, PackedRecord]] | None:
    """Returns the index of a part and its records that are not damaged; None if the index is missing or damaged."""
    try:
        index = read_index(path, schema)
    except RecordError:
        return None
    records = {}
    try:
        with reading(path, CURE):
            _check_array(path, index)
            frames = _frames(path, index)
    except RecordError:
        return index, {}
    for row, frame in enumerate(frames):
        try:
            with reading(path, CURE):
                data, rows = _restored(path, index, row, frame, schema, table)
        except RecordError:
            continue
        shapes = index.shapes[row].tolist()
        records[index.names[row]] = PackedRecord(data.tobytes(), rows.tobytes(), shapes, index.sources[row])
    return index, records


@lru_cache(maxsize=1024)
def open_index(path: Path, part_digest: str, schema: Schema) -> PartIndex:
    """Reads the index that has a digest; it is kept for further reads.

    Raises:
        RecordError: The index is missing, damaged or another one.
    """
    index = read_index(path, schema)
    if index.digest != part_digest:
        raise bad_file(path, f"expected the part {part_digest} of its split, found {index.digest}", CURE)
    return index


@lru_cache(maxsize=1024)
def _open_part(path: Path, part_digest: str, schema: Schema) -> PartIndex:
    """Returns the index of a part whose array is what is written here; no file stays open between reads."""
    index = open_index(path, part_digest, schema)
    _check_array(path, index)
    return index


def _frames(path: Path, index: PartIndex) -> list[memoryview]:
    """Reads all compressed records of a part."""
    if not index.ends[-1]:
        return [memoryview(b"")] * len(index.names)
    whole = memoryview((path / CHUNK).read_bytes())
    return [whole[start:end] for start, end in zip(index.ends.tolist(), index.ends[1:].tolist(), strict=False)]


def _read_bytes(path: Path, start: int, end: int) -> bytes:
    """Returns the bytes of a file from `start` to `end`, as far as there are any."""
    if start == end:
        return b""
    with path.open("rb", buffering=0) as file:
        held = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), max(0, min(end, held) - start), start)


def _restored(
    path: Path,
    index: PartIndex,
    row: int,
    frame: bytes | memoryview,
    schema: Schema,
    table: UInt8[np.ndarray, "rows row_bytes"],
) -> tuple[UInt8[np.ndarray, " bytes"], UInt8[np.ndarray, "record_rows row_bytes"]]:
    """Returns a record's own bytes and its shared rows, after comparing them with the index."""
    name, shapes = index.names[row], index.shapes[row].tolist()
    if zlib.crc32(frame) != index.checksums[row]:
        raise bad_file(path, f"record {name}: expected the bytes that were written, found damaged ones", CURE)
    data, places = read_frame(schema, frame, shapes)
    count, size = schema.table_shape(shapes)
    if count and (size != table.shape[1] or places.min() < 0 or places.max() >= len(table)):
        raise bad_file(path, f"record {name}: expected its rows among the {len(table)} of its split", CURE)
    rows = table[places] if count else np.zeros((0, size), np.uint8)
    own = digest(data, rows)
    if own != index.digests[row]:
        reason = f"record {name}: expected bytes with the digest {index.digests[row]}, found {own}"
        raise bad_file(path, reason, CURE)
    return data, rows


def _check_size(schema: Schema, size: int, shapes: list[int]) -> None:
    """Raises ValueError if a record states more bytes than its frame can hold, before they are allocated."""
    count, row_size = schema.table_shape(shapes)
    for stated in (schema.size(shapes), count * max(row_size, 4)):
        if stated > max(_SMALL_BYTES, _MAX_COMPRESSION * size):
            raise ValueError(f"expected a record that fits in its {size} bytes, found {stated} bytes stated")


def _array_metadata(size: int) -> dict[str, Any]:
    """Returns the metadata of the array of a part: bytes without a codec, in one chunk."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [size],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [max(1, size)]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
        "storage_transformers": [],
    }


def _write_array(path: Path, data: bytes) -> None:
    path.mkdir()
    (path / METADATA).write_text(json.dumps(_array_metadata(len(data))))
    if data:
        with zarr.config.set({"array.write_empty_chunks": True}):
            array = zarr.open_array(path, mode="r+", zarr_format=3)
        array[:] = np.frombuffer(data, np.uint8)


def _check_array(path: Path, index: PartIndex) -> None:
    """Raises ValueError if the metadata of a part's array is not what `_write_array` writes."""
    size = int(index.ends[-1])
    if json.loads((path / ARRAY / METADATA).read_bytes()) != _array_metadata(size):
        raise ValueError(f"{ARRAY}/{METADATA} differs from the metadata of an array of {size} bytes in a store")
