"""Pictures in Parquet files as Hugging Face's data sets have them: `image: {bytes, path}` and `label`.

Names of classes stand in the schema's metadata. Parquet is read by groups of rows: pictures that are read in order
share the reading of their group, while a random order reads a whole group for nearly every picture. Tar archives do
not have that cost.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from perception_datasets.errors import bad_file, reading
from perception_datasets.images.decoding import CURE as PICTURE_CURE
from perception_datasets.images.decoding import Decoding
from perception_datasets.images.layout import check_label, names_of_split
from perception_datasets.images.records import NO_LABEL, PackedTexts, Pictures, number_classes
from perception_datasets.images.tar_pictures import find_archives

CURE = "copy it again from the data set"
MAX_GROUP_BYTES = 512 << 20
"""Maximum size of the pictures in a group of rows; groups that Hugging Face writes have 100 to 1,000 pictures."""
MAX_ROWS = 100_000_000
_LABELS = ("label", "labels", "fine_label")


@dataclass(frozen=True)
class CellPlace:
    """A cell of a column, as a place of a picture."""

    file: Path
    column: str
    group: int
    row: int

    @property
    def name(self) -> Path:
        """The file, the group of rows and the row in it."""
        return self.file / f"group {self.group} row {self.row}"

    def read(self) -> bytes:
        """Reads the cell; its group is kept for the cells beside it."""
        cells = _read_group(
            self.file, self.file.stat().st_mtime_ns if self.file.exists() else 0, self.column, self.group
        )
        with reading(self.name, PICTURE_CURE):
            data = cells[self.row].as_py()
            if data is None:
                cure = "embed the pictures in the file (push_to_hub does)"
                raise bad_file(self.name, "expected the bytes of a picture, found none", cure)
            return data


@dataclass(frozen=True)
class CellPlaces:
    """Cells of files.

    Attributes:
        files: The files.
        column: Name of the column.
        rows: File (its index), group of rows and row in it, for each cell.
    """

    files: tuple[Path, ...]
    column: str
    rows: Int64[np.ndarray, "cells 3"]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> CellPlace:
        file, group, row = map(int, self.rows[index])
        return CellPlace(self.files[file], self.column, group, row)


@lru_cache(maxsize=2)
def _read_group(file: Path, _changed_ns: int, column: str, group: int) -> pa.ChunkedArray:
    """Reads the bytes of all pictures in a group of rows."""
    with reading(file, CURE), pq.ParquetFile(file) as opened:
        metadata = opened.metadata.row_group(group)
        sizes = [metadata.column(i).total_uncompressed_size for i in range(metadata.num_columns)]
        if sum(map(abs, sizes)) > MAX_GROUP_BYTES:
            found = f"expected groups of at most {MAX_GROUP_BYTES >> 20} MB, found {sum(sizes) >> 20} MB"
            raise bad_file(file, found, "write it with smaller groups of rows")
        table = opened.read_row_group(group, columns=[column], use_threads=False)
        table.validate(full=True)
        cells = table.column(0)
        return pa.chunked_array([chunk.field("bytes") for chunk in cells.chunks], pa.binary())


def find_parquet(root: Path, split: str, classes: Sequence[str] | None, decoding: Decoding) -> Pictures | None:
    """Returns the pictures of a split in Parquet files; None if there is no such file.

    Raises:
        InputError: A file cannot be read, or has no column of pictures.
    """
    files = find_archives(root, split, ".parquet")
    if not files:
        return None
    if not any(name in path.stem or name in path.parent.name for path in files for name in names_of_split(split)):
        check_label(root.with_suffix(""), split)
    column, label, names = "", None, None
    rows: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for number, path in enumerate(files):
        with reading(path, CURE), pq.ParquetFile(path) as opened:
            found = _columns(path, opened.schema_arrow)
            column, label, names = found if number == 0 else (column, label, names)
            if found != (column, label, names):
                raise bad_file(path, f"expected the columns and classes of {files[0].name}, found others", CURE)
            counts = _group_sizes(path, opened.metadata)
            rows += [
                np.column_stack([np.full(size, number), np.full(size, group), np.arange(size)])
                for group, size in enumerate(counts)
            ]
            labels.append(_read_labels(path, opened, label, sum(counts)))
    together = np.concatenate(labels)
    ordered = _name_classes(root, together, names, classes)
    ordered, together = _renumbered(root, ordered, together, classes)
    places = CellPlaces(tuple(files), column, np.concatenate(rows).astype(np.int64))
    stems = [path.stem for path in files]
    ids = PackedTexts(f"{stems[file]}/{group}/{row}" for file, group, row in places.rows.tolist())
    layout = f"Parquet (column {column}, labels {label or 'none'}), {len(files)} file{'s' * (len(files) > 1)}"
    return Pictures(root, split, layout, ordered, ids, together, places, decoding)


def _columns(path: Path, schema: pa.Schema) -> tuple[str, str | None, tuple[str, ...] | None]:
    """Returns the columns of pictures and labels, and the names of the classes where the schema states them."""
    stated = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features: dict[str, Any] = stated.get("info", {}).get("features", {}) if isinstance(stated, dict) else {}
    pictures = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type)
        and any(inner.name == "bytes" and pa.types.is_binary(inner.type) for inner in field.type)
    ]
    if len(pictures) != 1:
        expected = "expected one column of pictures, a struct with `bytes`"
        raise bad_file(path, f"{expected}, found {len(pictures)} in {', '.join(schema.names)[:200]}", CURE)
    numbered = [name for name in schema.names if pa.types.is_integer(schema.field(name).type)]
    known = [name for name in numbered if features.get(name, {}).get("_type") == "ClassLabel"]
    label = next((name for name in _LABELS if name in numbered), known[0] if len(known) == 1 else None)
    names = features.get(label, {}).get("names") if label else None
    return pictures[0], label, tuple(map(str, names)) if names else None


def _group_sizes(path: Path, metadata: pq.FileMetaData) -> list[int]:
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if not 0 < sum(counts) <= MAX_ROWS or min(counts) < 0 or sum(counts) != metadata.num_rows:
        raise bad_file(path, f"expected 1 to {MAX_ROWS:,} rows, found {metadata.num_rows:,}", CURE)
    return counts


def _read_labels(path: Path, file: pq.ParquetFile, label: str | None, rows: int) -> np.ndarray:
    if label is None:
        return np.full(rows, NO_LABEL, np.int64)
    table = file.read([label], use_threads=False)
    table.validate(full=True)
    cells = table.column(0)
    if cells.null_count or len(cells) != rows:
        raise bad_file(
            path, f"expected a label in each of {rows:,} rows, found {len(cells) - cells.null_count:,}", CURE
        )
    return cells.to_numpy().astype(np.int64)


def _name_classes(
    root: Path, labels: np.ndarray, names: tuple[str, ...] | None, classes: Sequence[str] | None
) -> tuple[str, ...]:
    """Returns the names by the labels of the file; numbers where neither the file nor a list names them."""
    low, high = int(labels.min()), int(labels.max())
    if low == high == NO_LABEL:  # a test split whose labels are kept secret
        return names or tuple(classes or ())
    ordered = names or tuple(classes or map(str, range(min(high, 1 << 20) + 1)))
    if not 0 <= low <= high < len(ordered):
        raise bad_file(root, f"expected labels from 0 to {len(ordered) - 1}, found {low} to {high}", CURE)
    return ordered


def _renumbered(
    root: Path, names: tuple[str, ...], labels: np.ndarray, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Numbers by a given list of classes what the file numbers by its own."""
    if classes is None or tuple(classes) == names or (labels == NO_LABEL).all():
        return names, labels
    return number_classes([names[label] for label in labels.tolist()], classes, root)
