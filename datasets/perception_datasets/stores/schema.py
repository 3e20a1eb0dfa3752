"""The fields of a record, and their bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

Record = Mapping[str, np.ndarray]

_ALIGNMENT = 8


@dataclass(frozen=True)
class Schema:
    """Fields of a record in the order of storage: name, NumPy type (such as `<f8`) and number of axes.

    Fields with 8-byte items come first, so that they stay aligned.
    """

    fields: tuple[tuple[str, str, int], ...]

    @property
    def axes(self) -> int:
        """Number of axes of all fields together."""
        return sum(axes for _, _, axes in self.fields)

    def size(self, shapes: Sequence[int]) -> int:
        """Returns the number of bytes that `pack` makes of a record, from the shapes of its fields in a row."""
        size, axis = 0, 0
        for _, kind, axes in self.fields:
            size += math.prod(shapes[axis : axis + axes]) * np.dtype(kind).itemsize
            axis += axes
        return -(-size // _ALIGNMENT) * _ALIGNMENT

    def rows(self, field: str, shapes: Sequence[int]) -> int:
        """Returns the length of an array's first axis, from the shapes of all fields in a row."""
        names = [name for name, _, axes in self.fields for _ in range(axes)]
        return shapes[names.index(field)]

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
        return data + bytes(-len(data) % _ALIGNMENT), shapes

    def unpack(self, data: UInt8[np.ndarray, " bytes"], shapes: Sequence[int]) -> dict[str, np.ndarray]:
        """Returns the record that `pack` was given; its arrays are views of `data`."""
        record, start, axis = {}, 0, 0
        for name, kind, axes in self.fields:
            shape = tuple(shapes[axis : axis + axes])
            end = start + math.prod(shape) * np.dtype(kind).itemsize
            record[name] = data[start:end].view(kind).reshape(shape)
            start = end
            axis += axes
        return record
