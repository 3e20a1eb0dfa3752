"""Prepared records for repeated training: a few large files, and one short read per record.

A store is a Zarr v3 hierarchy with a group per split, and in each of these a group per part with some hundred records
(`perception_datasets.stores.part`). A record is a fixed list of named arrays (`perception_datasets.stores.schema`).
They follow each other in the part's bytes. They are not Zarr arrays of their own, because a Zarr read takes about a
millisecond however little it reads, and a scenario has a dozen fields. What records have in common, such as the lanes
of a map, is in a table of the split (`perception_datasets.stores.shared_rows`), and a record refers to it.

The attributes of each group hold a digest (`perception_datasets.stores.group`): the store's are its kind, source and
schema, a split's the digests of its parts and of its table, a part's the digests of its records. So a record that is
read is the one that was written, and a split without its own file is incomplete.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, TypeVar

from perception.errors import InputError
from perception.files import reading
from perception_datasets.errors import reading as record_reading
from perception_datasets.folders import check_split, is_name
from perception_datasets.stores import part, shared_rows
from perception_datasets.stores.group import METADATA, check_digest, load_attributes, read_group, write_group
from perception_datasets.stores.part import CURE
from perception_datasets.stores.schema import Record, Schema

FORMAT = "perception-records"
VERSION = 4
PART_RECORDS = 256

_PART = re.compile(r"part-\d{5,}")
_UNFINISHED = re.compile(rf"\.(part-|{shared_rows.SEGMENT})\d{{5,}}")

T = TypeVar("T")


@dataclass(frozen=True)
class StoreInfo:
    """Attributes of a store.

    Attributes:
        kind: Kind of its records, such as `forecasting` or `scene`.
        source: Name of the data set that they come from.
        schema: Fields of each record.
        decimals: To how many decimals numbers were rounded; None where they are as the files state them.
    """

    kind: str
    source: str
    schema: Schema
    decimals: int | None = None


def create_store(folder: Path, info: StoreInfo) -> None:
    """Creates an empty store, or checks that the existing one has the same attributes."""
    if not check_place(folder, info):
        attributes = {
            "format": FORMAT,
            "version": VERSION,
            "kind": info.kind,
            "source": info.source,
            "schema": [list(f) for f in info.schema.fields],
            "shared": [list(f) for f in info.schema.shared],
            **({} if info.decimals is None else {"decimals": info.decimals}),
        }
        write_group(folder, attributes)


def check_place(folder: Path, info: StoreInfo) -> bool:
    """Returns whether a folder is a store with these attributes already.

    Raises:
        InputError: It is another store, or holds other files.
    """
    found = read_info(folder)
    if found == info:
        return True
    if found is not None and replace(found, decimals=info.decimals) == info:
        raise InputError(
            f"{folder}: expected numbers {_accuracy(info)}, found a store of numbers {_accuracy(found)}; prepare it as "
            "before, or choose another folder"
        )
    if found is not None:
        raise InputError(
            f"{folder}: expected a store of {info.kind} records from {info.source}, found one of {found.kind} records "
            f"from {found.source} (or of another schema); choose another folder"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: expected a folder for a store, found a file; choose another path")
    if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise InputError(f"{folder}: expected a store or an empty folder, found other files; choose another folder")
    return False


def read_info(folder: Path) -> StoreInfo | None:
    """Reads the attributes of a store; returns None if the folder is not a store."""
    cure = "delete the store and run `perception prepare` again"
    attributes = load_attributes(folder, cure) or {}
    if attributes.get("format") != FORMAT:
        return None
    if attributes.get("version") != VERSION:
        found = attributes.get("version")
        raise InputError(f"{folder}: expected store version {VERSION}, found {found}; {cure}")
    check_digest(folder, attributes, cure)
    with reading(folder / METADATA, cure):
        own, shared = (
            tuple((str(name), str(kind), int(axes)) for name, kind, axes in attributes[key])
            for key in ("schema", "shared")
        )
        schema = Schema(own, shared)
        decimals = attributes.get("decimals")
        return StoreInfo(attributes["kind"], attributes["source"], schema, None if decimals is None else int(decimals))


def _accuracy(info: StoreInfo) -> str:
    return "as the files state them" if info.decimals is None else f"of {info.decimals} decimals"


def part_path(folder: Path, split: str, number: int) -> Path:
    """Returns the folder of a part of a split."""
    return folder / split / f"part-{number:05d}"


def part_folders(folder: Path, split: str) -> list[Path]:
    """Returns the folders of all parts of a split, also of those that the split does not list."""
    place = folder / split
    return sorted(path for path in place.iterdir() if _PART.fullmatch(path.name)) if place.is_dir() else []


def unfinished_folders(folder: Path, split: str) -> list[Path]:
    """Returns the folders of parts and of segments of the table whose writer was killed."""
    place = folder / split
    parts = (path for path in place.iterdir() if path.name.startswith(".")) if place.is_dir() else ()
    return sorted(path for path in parts if _UNFINISHED.match(path.name) and path.is_dir())


@dataclass(frozen=True)
class SplitInfo:
    """What a complete split consists of.

    Attributes:
        parts: Digests of its parts.
        segments: Digests of the segments of its table of shared rows.
    """

    parts: tuple[str, ...]
    segments: tuple[str, ...] = ()


def finish_split(folder: Path, split: str, info: SplitInfo) -> None:
    """Marks a split as complete."""
    attributes = {"split": split, "parts": list(info.parts), "segments": list(info.segments)}
    write_group(folder / split, attributes)


def read_split(folder: Path, split: str) -> SplitInfo:
    """Returns the digests of the parts and the table of a complete split.

    Raises:
        InputError: The split is missing, incomplete or damaged.
    """
    check_split(split)
    group = read_group(folder / split, CURE)
    if group is None:
        found = sorted(path.parent.name for path in folder.glob(f"*/{METADATA}"))
        raise InputError(f"{folder}: expected a complete split {split!r}, found {', '.join(found) or 'none'}; {CURE}")
    attributes, _ = group
    with reading(folder / split, CURE):
        found = SplitInfo(tuple(attributes["parts"]), tuple(attributes["segments"]))
        if attributes["split"] != split or not all(map(is_name, (*found.parts, *found.segments))):
            raise ValueError(f"expected the digests of the parts of {split}")
        return found


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

    schema: ClassVar[Schema]
    """Fields of each record, which a subclass states."""

    @cached_property
    def _info(self) -> SplitInfo:
        """Digests of the parts and of the table."""
        return read_split(self.folder, self.split)

    @cached_property
    def _parts(self) -> list[tuple[Path, str]]:
        """Folder and digest of each part."""
        return [(part_path(self.folder, self.split, number), own) for number, own in enumerate(self._info.parts)]

    def _table(self) -> shared_rows.Rows:
        """Rows that the records share; not an attribute, so that it is not sent to other processes."""
        return shared_rows.open_rows(self.folder / self.split, self._info.segments)

    @cached_property
    def _locations(self) -> dict[str, tuple[int, int]]:
        """Part and row of each record, by name."""
        return {
            name: (number, row)
            for number, (path, own) in enumerate(self._parts)
            for row, name in enumerate(part.open_index(path, own, self.schema).names)
        }

    def names(self) -> list[str]:
        """Returns the names of the records, in the order in which they were prepared."""
        return list(self._locations)

    def path(self, name: str) -> Path:
        """Returns the folder of the part that holds a record."""
        return self._locate(name)[0]

    def inputs(self, name: str) -> list[Path]:
        """Returns what the record is read from: the folder of its part."""
        return [self.path(name)]

    def digest(self, name: str) -> str:
        """Returns the digest of a record's bytes, which tells it from other records of the same name."""
        path, own, row = self._locate(name)
        return part.open_index(path, own, self.schema).digests[row]

    def without(self, field: str) -> list[str]:
        """Returns the names of the records in which an array has no rows."""
        found = []
        for path, own in self._parts:
            index = part.open_index(path, own, self.schema)
            shapes = zip(index.names, index.shapes.tolist(), strict=True)
            found += [name for name, row in shapes if not self.schema.rows(field, row)]
        return found

    def read_as(self, name: str, convert: Callable[[Record], T]) -> T:
        """Reads one record and converts it.

        Raises:
            RecordError: The part is missing or damaged.
        """
        path, own, row = self._locate(name)
        with record_reading(path, CURE):
            return convert(part.read_record(path, own, row, self.schema, self._table()))

    def read_all_as(self, convert: Callable[[Record, str], T]) -> list[T]:
        """Reads all records at once and converts each with the fingerprint of its source, for small records.

        Raises:
            RecordError: A part is missing or damaged.
        """
        converted = []
        for path, own in self._parts:
            with record_reading(path, CURE):
                sources = part.open_index(path, own, self.schema).sources
                records = part.read_part(path, own, self.schema, self._table())
                converted += [convert(record, source) for record, source in zip(records, sources, strict=True)]
        return converted

    def _locate(self, name: str) -> tuple[Path, str, int]:
        """Returns the folder of a record's part, the part's digest, and the record's row."""
        if name not in self._locations:
            raise InputError(f"{self.folder}: expected {name!r} in {self.split}, found {len(self._locations)} others")
        number, row = self._locations[name]
        return (*self._parts[number], row)
