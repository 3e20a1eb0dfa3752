"""Prepared records for repeated training: a few large files, and one short read per record.

A store is a Zarr v3 hierarchy with a group per split. Each of these holds a group per part (some hundred records) with

    bytes     all records of the part in a row, compressed in small chunks inside one shard (one file)
    offsets   where each record starts, and where the last one ends
    shapes    the shapes of all fields of each record

A record is a fixed list of named arrays (its schema). They follow each other in `bytes`, in the order and with the
types that the store's attributes state. They are not Zarr arrays of their own, because a Zarr read takes about a
millisecond however little it reads, and a scenario has a dozen fields.

A part is written to a hidden folder and renamed when it is complete, so that a later run can continue an interrupted
one by writing the missing parts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Int
from zarr.codecs import BloscCodec

from perception.errors import InputError
from perception.files import writing
from perception_datasets.errors import reading

FORMAT = "perception-records"
VERSION = 1
PART_RECORDS = 256

_CHUNK_BYTES = 1 << 17
CURE = "run `perception prepare` again; it continues where it stopped"

Record = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Schema:
    """Fields of a record in the order of storage: name, NumPy type (such as `<f8`) and number of axes.

    Fields with 8-byte items come first, so that they stay aligned.
    """

    fields: tuple[tuple[str, str, int], ...]

    def pack(self, record: Record) -> tuple[bytes, list[int]]:
        """Returns the record as bytes, and the shapes of its fields in a row."""
        shapes: list[int] = []
        pieces = []
        for name, kind, axes in self.fields:
            values = record[name]
            if values.ndim != axes or values.dtype != np.dtype(kind):
                raise ValueError(f"{name}: expected {axes} axes of {kind}, got {values.ndim} of {values.dtype.str}")
            shapes += values.shape
            pieces.append(np.ascontiguousarray(values).tobytes())
        data = b"".join(pieces)
        return data + bytes(-len(data) % 8), shapes

    def unpack(self, data: bytearray, shapes: Sequence[int]) -> dict[str, np.ndarray]:
        """Returns the record that `pack` was given; its arrays are views of `data`."""
        record, start, axis = {}, 0, 0
        for name, kind, axes in self.fields:
            shape = tuple(shapes[axis : axis + axes])
            count = int(np.prod(shape, dtype=np.int64))
            record[name] = np.frombuffer(data, kind, count, start).reshape(shape)
            start += count * np.dtype(kind).itemsize
            axis += axes
        return record


@dataclass(frozen=True)
class StoreInfo:
    """Attributes of a store.

    Attributes:
        kind: Kind of its records, such as `forecasting` or `scene`.
        source: Name of the data set that they come from.
        schema: Fields of each record.
    """

    kind: str
    source: str
    schema: Schema


def create_store(folder: Path, info: StoreInfo) -> None:
    """Creates an empty store, or checks that the existing one has the same attributes."""
    found = read_info(folder)
    if found is None:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder}: expected a store or an empty folder, found other files; choose another folder")
        attributes = {
            "format": FORMAT,
            "version": VERSION,
            "kind": info.kind,
            "source": info.source,
            "schema": [list(f) for f in info.schema.fields],
        }
        zarr.create_group(folder, attributes=attributes)
    elif found != info:
        raise InputError(
            f"{folder}: expected a store of {info.kind} records from {info.source}, found one of {found.kind} records "
            f"from {found.source} (or of another schema); choose another folder"
        )


def read_info(folder: Path) -> StoreInfo | None:
    """Reads the attributes of a store; returns None if the folder is not a store."""
    attributes = _attributes(folder)
    if attributes.get("format") != FORMAT:
        return None
    if attributes["version"] != VERSION:
        raise InputError(f"{folder}: expected store version {VERSION}, found {attributes['version']}; prepare it again")
    schema = Schema(tuple((str(name), str(kind), int(axes)) for name, kind, axes in attributes["schema"]))
    return StoreInfo(attributes["kind"], attributes["source"], schema)


def part_path(folder: Path, split: str, part: int) -> Path:
    """Returns the folder of a part of a split."""
    return folder / split / f"part-{part:05d}"


def write_part(path: Path, schema: Schema, records: Mapping[str, Record], failures: Mapping[str, str]) -> None:
    """Writes the records of a part, by name; `failures` states why others could not be read."""
    packed = [schema.pack(record) for record in records.values()]
    unfinished = path.parent / f".{path.name}"
    with writing(path):
        shutil.rmtree(unfinished, ignore_errors=True)
        group = zarr.create_group(unfinished, attributes={"names": list(records), "failures": dict(failures)})
        if packed:
            _write_arrays(group, packed)
        shutil.rmtree(path, ignore_errors=True)
        unfinished.rename(path)


def _write_arrays(group: zarr.Group, packed: Sequence[tuple[bytes, list[int]]]) -> None:
    """Writes the packed records of a part."""
    data = np.frombuffer(b"".join(piece for piece, _ in packed), np.uint8)
    shard = -(-len(data) // _CHUNK_BYTES) * _CHUNK_BYTES
    compressor = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=8)
    group.create_array("bytes", data=data, chunks=(_CHUNK_BYTES,), shards=(shard,), compressors=compressor)
    group.create_array("offsets", data=np.cumsum([0, *(len(piece) for piece, _ in packed)]))
    group.create_array("shapes", data=np.array([shapes for _, shapes in packed], dtype=np.int64))


def part_is_done(path: Path, names: Sequence[str]) -> bool:
    """Returns whether a part exists and holds exactly these records, without a failure."""
    return _attributes(path).get("names") == list(names)


def finish_split(folder: Path, split: str, parts: int) -> None:
    """Marks a split as complete."""
    zarr.open_group(folder / split, mode="a").attrs.update({"parts": parts})


def read_names(folder: Path, split: str) -> list[list[str]]:
    """Returns the names of the records in each part of a complete split."""
    parts = _attributes(folder / split).get("parts")
    if parts is None:
        found = sorted(p.parent.name for p in folder.glob("*/zarr.json"))
        raise InputError(f"{folder}: expected a complete split {split!r}, found {', '.join(found) or 'none'}; {CURE}")
    return [_attributes(part_path(folder, split, part))["names"] for part in range(parts)]


def read_record(path: Path, row: int, schema: Schema) -> dict[str, np.ndarray]:
    """Reads one record of a part."""
    data, offsets, shapes = _open_part(path)
    packed = np.asarray(data[int(offsets[row]) : int(offsets[row + 1])])
    return schema.unpack(bytearray(packed), shapes[row].tolist())


def read_part(path: Path, schema: Schema) -> list[dict[str, np.ndarray]]:
    """Reads all records of a part at once, for records so small that one read each would be slow."""
    if not _attributes(path)["names"]:
        return []
    data, offsets, shapes = _open_part(path)
    packed = np.asarray(data[:])
    return [
        schema.unpack(bytearray(packed[start:end]), shape)
        for start, end, shape in zip(offsets[:-1], offsets[1:], shapes.tolist(), strict=True)
    ]


@lru_cache(maxsize=1024)
def _open_part(path: Path) -> tuple[zarr.Array, Int[np.ndarray, " ends"], Int[np.ndarray, "records axes"]]:
    """Returns the arrays of a part; no file stays open between reads."""
    data, offsets, shapes = (zarr.open_array(path / name, mode="r") for name in ("bytes", "offsets", "shapes"))
    return data, np.asarray(offsets[:]), np.asarray(shapes[:])


def _attributes(folder: Path) -> dict[str, Any]:
    """Returns the attributes of a Zarr group; empty if there is no group."""
    path = folder / "zarr.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text()).get("attributes", {})
    except ValueError as error:
        raise InputError(f"{path}: it cannot be parsed ({error}); {CURE}") from error


@dataclass(frozen=True)
class StoredSplit:
    """Records in one split of a store, by name.

    Attributes:
        folder: Folder of the store.
        split: Name of the split.
        source: Name of the data set that the records come from, or `synthetic`.
    """

    folder: Path
    split: str
    source: str

    @cached_property
    def _locations(self) -> dict[str, tuple[int, int]]:
        """Part and row of each record, by name."""
        parts = read_names(self.folder, self.split)
        return {name: (part, row) for part, names in enumerate(parts) for row, name in enumerate(names)}

    def names(self) -> list[str]:
        """Returns the names of the records, in the order in which they were prepared."""
        return list(self._locations)

    def path(self, name: str) -> Path:
        """Returns the folder of the part that holds a record."""
        if name not in self._locations:
            raise InputError(f"{self.folder}: expected {name!r} in {self.split}, found {len(self._locations)} others")
        return part_path(self.folder, self.split, self._locations[name][0])

    def read_fields(self, name: str, schema: Schema) -> dict[str, np.ndarray]:
        """Reads the fields of one record."""
        path = self.path(name)
        with reading(path, f"delete the folder and {CURE}"):
            return read_record(path, self._locations[name][1], schema)
