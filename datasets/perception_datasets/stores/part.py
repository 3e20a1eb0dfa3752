"""A part of a store's split: some records in one compressed array, and an index that holds a digest of each.

A part is a Zarr group with one array, `bytes`: all records in a row, in chunks that are compressed one by one inside
one shard (one file). The group's attributes are the index, in lists with an item for each record:

    names      names of the records
    shapes     shapes of all fields of the record, in a row
    digests    digest of the record's bytes
    sources    fingerprint of the files that the record was read from
    failures   why other records could not be read, by name

Nothing in a part is believed before it was checked. Chunks have a checksum (CRC-32C), so that damaged ones are not
decompressed. The digests tell of whatever else differs, such as a missing file, which Zarr would read as zeros. The
array's metadata must be exactly what is written here, because Zarr's metadata names the codecs to run.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Int, UInt8

from perception.errors import InputError
from perception.files import writing
from perception_datasets.errors import RecordError, bad_file, reading
from perception_datasets.folders import is_name
from perception_datasets.stores.group import METADATA, digest, read_group, write_group
from perception_datasets.stores.schema import Schema

CURE = "run `perception prepare` again; it reads again what is damaged or missing"
ARRAY = "bytes"

_CHUNK_BYTES = 1 << 17
_MAX_COMPRESSION = 256
_SMALL_BYTES = 1 << 26
"""A part may state at most this size, or `_MAX_COMPRESSION` times its file's. Scenarios compress about 2.5 times."""


@dataclass(frozen=True)
class PackedRecord:
    """A record as its bytes, the shapes of its fields in a row, and the fingerprint of its source files."""

    data: bytes
    shapes: list[int]
    source: str


@dataclass(frozen=True)
class PartIndex:
    """Index of a part.

    Attributes:
        names: Names of the records.
        shapes: Shapes of all fields of each record.
        ends: Where each record starts in `bytes`, and where the last one ends.
        digests: Digest of each record's bytes.
        sources: Fingerprint of each record's source files.
        failures: Why other records could not be read, by name.
        digest: Digest of all of these.
    """

    names: tuple[str, ...]
    shapes: Int[np.ndarray, "records axes"]
    ends: Int[np.ndarray, " ends"]
    digests: tuple[str, ...]
    sources: tuple[str, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


def write_part(path: Path, records: Mapping[str, PackedRecord], failures: Mapping[str, str]) -> None:
    """Writes a part to a hidden folder and renames it; replaces the part that was there.

    Raises:
        InputError: It cannot be written, or other files are in its place.
    """
    unfinished = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    with writing(path):
        try:
            unfinished.mkdir(parents=True)
            _write_array(unfinished / ARRAY, b"".join(record.data for record in records.values()))
            index = {
                "names": list(records),
                "shapes": [list(record.shapes) for record in records.values()],
                "digests": [digest(record.data) for record in records.values()],
                "sources": [record.source for record in records.values()],
                "failures": dict(failures),
            }
            write_group(unfinished, index)
            remove_part(path)
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


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
        shapes = np.array(lists["shapes"], dtype=np.int64).reshape(len(names), schema.axes)
        texts = (*names, *digests, *sources)
        if not len(names) == len(set(names)) == len(digests) == len(sources) or not all(map(is_name, texts)):
            raise ValueError("expected a name, a digest and a fingerprint of each record")
        if shapes.size and shapes.min() < 0:
            raise ValueError(f"expected sizes from 0, found {shapes.min()}")
        sizes = [schema.size(row) for row in shapes.tolist()]
        _check_size(path, sum(sizes))
        ends = np.cumsum([0, *sizes], dtype=np.int64)
        return PartIndex(names, shapes, ends, digests, sources, dict(lists["failures"]), own)


def read_record(path: Path, part_digest: str, row: int, schema: Schema) -> dict[str, np.ndarray]:
    """Reads one record of the part that has a digest.

    Raises:
        RecordError: The part is missing, damaged or another one.
    """
    with reading(path, CURE):
        index, array = _open_part(path, part_digest, schema)
        data = np.asarray(array[int(index.ends[row]) : int(index.ends[row + 1])])
        _check_record(path, index, row, data)
        return schema.unpack(data, index.shapes[row].tolist())


def read_part(path: Path, part_digest: str, schema: Schema) -> list[dict[str, np.ndarray]]:
    """Reads all records of a part at once, for records so small that one read each would be slow.

    Raises:
        RecordError: The part is missing, damaged or another one.
    """
    with reading(path, CURE):
        index, array = _open_part(path, part_digest, schema)
        data = np.asarray(array[:])
        records = []
        for row, shapes in enumerate(index.shapes.tolist()):
            own = data[index.ends[row] : index.ends[row + 1]].copy()
            _check_record(path, index, row, own)
            records.append(schema.unpack(own, shapes))
        return records


def read_intact(path: Path, schema: Schema) -> tuple[PartIndex, dict[str, PackedRecord]] | None:
    """Returns the index of a part and its records that are not damaged; None if the index is missing or damaged."""
    try:
        index = read_index(path, schema)
    except RecordError:
        return None
    try:
        with reading(path, CURE):
            data = np.asarray(_open_array(path / ARRAY, int(index.ends[-1]))[:])
    except RecordError:  # damaged chunks
        return index, {}
    records = {}
    for row, name in enumerate(index.names):
        own = data[index.ends[row] : index.ends[row + 1]].tobytes()
        if digest(own) == index.digests[row]:
            records[name] = PackedRecord(own, index.shapes[row].tolist(), index.sources[row])
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
def _open_part(path: Path, part_digest: str, schema: Schema) -> tuple[PartIndex, zarr.Array]:
    """Returns the index and the array of a part; no file stays open between reads."""
    index = open_index(path, part_digest, schema)
    return index, _open_array(path / ARRAY, int(index.ends[-1]))


def _check_record(path: Path, index: PartIndex, row: int, data: UInt8[np.ndarray, " bytes"]) -> None:
    own = digest(data)
    if own != index.digests[row]:
        reason = f"record {index.names[row]}: expected bytes with the digest {index.digests[row]}, found {own}"
        raise bad_file(path, reason, CURE)


def _check_size(path: Path, size: int) -> None:
    """Raises ValueError if a part states more bytes than its file can hold, before they are allocated."""
    shard = path / ARRAY / "c" / "0"
    held = shard.stat().st_size if size else 0
    if size > max(_SMALL_BYTES, _MAX_COMPRESSION * held):
        raise ValueError(f"expected records that fit in its file of {held} bytes, found {size} bytes stated")


def _array_metadata(size: int) -> dict[str, Any]:
    """Returns the metadata of the array of a part, whose codecs are the only ones that are run."""
    little_endian = {"name": "bytes", "configuration": {"endian": "little"}}
    compressor = {"cname": "zstd", "clevel": 3, "shuffle": "shuffle", "typesize": 8, "blocksize": 0}
    sharding = {
        "chunk_shape": [_CHUNK_BYTES],
        "codecs": [{"name": "bytes"}, {"name": "blosc", "configuration": compressor}, {"name": "crc32c"}],
        "index_codecs": [little_endian, {"name": "crc32c"}],
        "index_location": "end",
    }
    shard = max(1, -(-size // _CHUNK_BYTES)) * _CHUNK_BYTES
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [size],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shard]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
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


def _open_array(path: Path, size: int) -> zarr.Array:
    """Opens the array of a part after comparing its metadata with what `_write_array` writes."""
    if json.loads((path / METADATA).read_bytes()) != _array_metadata(size):
        raise ValueError(f"{ARRAY}/{METADATA} differs from the metadata of an array of {size} bytes in a store")
    return zarr.open_array(path, mode="r", zarr_format=3)
