"""Point clouds with labels as a sequence of records, independent of the format on disk; points are read on demand."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from perception.clouds.cloud import Cloud
from perception_datasets.images.records import Lookup, PackedTexts, evenly

MAX_POINTS = 4_000_000
"""Maximum number of points of a cloud; a file that announces more is refused before they are read."""


@runtime_checkable
class PointSource(Protocol):
    """Where the points of a split's clouds are; it is sent to other processes."""

    @property
    def is_drawn(self) -> bool:
        """Whether points are drawn at random, from a surface or in voxels, so that another draw gives others."""
        ...

    def read(self, row: int, rng: np.random.Generator) -> Float32[np.ndarray, "points 3"]:
        """Reads the points of one cloud; raises RecordError if it cannot.

        Args:
            row: Which of the split's clouds.
            rng: What random points are drawn from.
        """
        ...


@dataclass(frozen=True)
class CloudRecord:
    """A cloud that is not read.

    Attributes:
        id: Name in its split.
        label: Index of its class.
        class_name: Name of the class.
        row: Which of the split's clouds it is.
    """

    id: str
    label: int
    class_name: str
    row: int


@dataclass(frozen=True)
class Clouds:
    """A split of a data set. It holds names and numbers only, unless the data set is one small file.

    Attributes:
        path: File or folder that was opened.
        split: Name of the split.
        layout: What was found there, to be printed.
        classes: Names of the classes, by label.
        ids: Name of each cloud.
        labels: Label of each cloud.
        rows: Which of the source's clouds each one is.
        source: Where their points are.
    """

    path: Path
    split: str
    layout: str
    classes: tuple[str, ...]
    ids: Lookup[str]
    labels: Int64[np.ndarray, " clouds"]
    rows: Int64[np.ndarray, " clouds"]
    source: PointSource

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> CloudRecord:
        """Returns a record; reads nothing."""
        label = int(self.labels[index])
        return CloudRecord(self.ids[index], label, self.classes[label], int(self.rows[index]))

    def __iter__(self) -> Iterator[CloudRecord]:
        return (self[index] for index in range(len(self)))

    def decode(self, record: CloudRecord, draw: int = 0) -> Cloud:
        """Reads a cloud.

        Args:
            record: One of these.
            draw: Which of the possible draws of its points, where they are drawn at random; the same one gives the same
                points.

        Raises:
            RecordError: It cannot be read; the message names it, the fault and the cure.
        """
        rng = np.random.default_rng((zlib.crc32(record.id.encode("utf-8", "surrogateescape")), draw))
        return Cloud(record.id, self.source.read(record.row, rng))

    def limited(self, limit: int | None) -> Clouds:
        """Returns the first clouds of every class, as evenly as the classes allow, in the order that they have here.

        Raises:
            InputError: The limit is below 1.
        """
        return self if limit is None or limit >= len(self) else self.subset(evenly(self.labels, limit, "cloud"))

    def subset(self, indices: Int64[np.ndarray, " kept"]) -> Clouds:
        """Returns some of the clouds, with the same classes."""
        ids = PackedTexts(self.ids[int(i)] for i in indices)
        return replace(self, ids=ids, labels=self.labels[indices], rows=self.rows[indices])
