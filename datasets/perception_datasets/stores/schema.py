"""The fields of a record, and their bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import UInt8

Record = Mapping[str, np.ndarray]
Field = tuple[str, str, int]

_ALIGNMENT = 8


@dataclass(frozen=True)
class Schema:
    """Fields of a record in the order of storage: name, NumPy type (such as `<f8`) and number of axes.

    Attributes:
        fields: Fields of which each record has its own. Those with 8-byte items come first, so that they stay aligned.
        shared: Fields whose rows many records have in common, such as the lanes of a map. They have the same number of
            rows; a row of all of them together is stored once for all records of a split.
    """

    fields: tuple[Field, ...]
    shared: tuple[Field, ...] = ()

    @property
    def axes(self) -> int:
        """Number of axes of all fields together."""
        return sum(axes for _, _, axes in (*self.fields, *self.shared))

    def size(self, shapes: Sequence[int]) -> int:
        """Returns the number of bytes of a record's own fields, from the shapes of all fields in a row."""
        size = max((end for _, _, end, _ in self._own(shapes)), default=0)
        return -(-size // _ALIGNMENT) * _ALIGNMENT

    def table_shape(self, shapes: Sequence[int]) -> tuple[int, int]:
        """Returns the number of shared rows and of bytes in each of them, from the shapes of all fields in a row.

        Raises:
            ValueError: The shared fields differ in their number of rows.
        """
        if not self.shared:
            return 0, 0
        counts, size = set(), 0
        for _, kind, shape in self._shared(shapes):
            counts.add(shape[0])
            size += math.prod(shape[1:]) * np.dtype(kind).itemsize
        if len(counts) > 1:
            raise ValueError(f"expected as many rows in each shared field, found {sorted(counts)}")
        return counts.pop(), size

    def rows(self, field: str, shapes: Sequence[int]) -> int:
        """Returns the length of an array's first axis, from the shapes of all fields in a row."""
        names = [name for name, _, axes in (*self.fields, *self.shared) for _ in range(axes)]
        return shapes[names.index(field)]

    def item_sizes(self, shapes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """Yields where fields with items of one size start and end in a record's own bytes, and that size."""
        for size, fields in groupby(self._own(shapes), lambda field: np.dtype(field[0]).itemsize):
            (_, start, end, _), *others = fields
            yield start, others[-1][2] if others else end, size

    def pack(self, record: Record) -> tuple[bytes, bytes, list[int]]:
        """Returns a record's own fields as bytes, its shared rows as bytes, and the shapes of all fields in a row."""
        shapes: list[int] = []
        for name, kind, axes in (*self.fields, *self.shared):
            values = record[name]
            if values.ndim != axes or values.dtype != np.dtype(kind):
                raise ValueError(f"{name}: expected {axes} axes of {kind}, got {values.ndim} of {values.dtype.str}")
            shapes += values.shape
        data = b"".join(np.ascontiguousarray(record[name]).tobytes() for name, _, _ in self.fields)
        count, size = self.table_shape(shapes)
        rows, place = np.empty((count, size), np.uint8), 0
        for name, kind, shape in self._shared(shapes):
            own = math.prod(shape[1:]) * np.dtype(kind).itemsize
            rows[:, place : place + own] = np.ascontiguousarray(record[name]).view(np.uint8).reshape(count, own)
            place += own
        return data + bytes(-len(data) % _ALIGNMENT), rows.tobytes(), shapes

    def unpack(
        self, data: UInt8[np.ndarray, " bytes"], rows: UInt8[np.ndarray, "rows row_bytes"], shapes: Sequence[int]
    ) -> dict[str, np.ndarray]:
        """Returns the record that `pack` was given; the arrays of its own fields are views of `data`."""
        record = {}
        for (name, _, _), (kind, start, end, shape) in zip(self.fields, self._own(shapes), strict=True):
            record[name] = data[start:end].view(kind).reshape(shape)
        place = 0
        for name, kind, shape in self._shared(shapes):
            own = math.prod(shape[1:]) * np.dtype(kind).itemsize
            record[name] = rows[:, place : place + own].copy().view(kind).reshape(shape)
            place += own
        return record

    def _own(self, shapes: Sequence[int]) -> Iterator[tuple[str, int, int, tuple[int, ...]]]:
        """Yields the type of each own field, where it starts and ends in the record's bytes, and its shape."""
        start, axis = 0, 0
        for _, kind, axes in self.fields:
            shape = tuple(shapes[axis : axis + axes])
            end = start + math.prod(shape) * np.dtype(kind).itemsize
            yield kind, start, end, shape
            start, axis = end, axis + axes

    def _shared(self, shapes: Sequence[int]) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Yields the name, the type and the shape of each shared field."""
        axis = sum(axes for _, _, axes in self.fields)
        for name, kind, axes in self.shared:
            yield name, kind, tuple(shapes[axis : axis + axes])
            axis += axes
