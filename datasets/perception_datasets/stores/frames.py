"""Records as compressed frames: bytes of equal significance beside each other, then Zstandard.

Integers and floats whose neighbours are alike share their high bytes. Brought beside each other (as Blosc's shuffle
does it), these compress to next to nothing. A frame holds one record, so that a random read decompresses nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pyarrow as pa
from jaxtyping import Int32, UInt8

from perception_datasets.stores.schema import Schema

_LEVEL = 6
"""Zstandard's level."""
_NUMBER = np.dtype("<i4")


def write_frame(schema: Schema, data: bytes, numbers: Int32[np.ndarray, " rows"], shapes: Sequence[int]) -> bytes:
    """Returns the frame of a record.

    Args:
        schema: Fields of the record.
        data: Bytes of its own fields.
        numbers: Place of each of its shared rows in the table of the split.
        shapes: Shapes of all its fields in a row.
    """
    values = np.frombuffer(data, np.uint8)
    shuffled = np.zeros(len(data) + numbers.nbytes, np.uint8)
    for start, end, size in schema.item_sizes(shapes):
        shuffled[start:end].reshape(size, -1)[:] = values[start:end].reshape(-1, size).T
    if len(numbers):
        steps = np.diff(numbers, prepend=_NUMBER.type(0)).astype(_NUMBER)
        shuffled[len(data) :].reshape(4, -1)[:] = ((steps << 1) ^ (steps >> 31)).view(np.uint8).reshape(-1, 4).T
    return _codec().compress(shuffled, asbytes=True)


def read_frame(
    schema: Schema, frame: bytes | memoryview, shapes: Sequence[int]
) -> tuple[UInt8[np.ndarray, " bytes"], Int32[np.ndarray, " rows"]]:
    """Returns the bytes of a record's own fields, and the places of its shared rows; the inverse of `write_frame`.

    A frame that states more bytes than the shapes do raises; one that states fewer gives bytes that no digest fits.
    """
    count, _ = schema.table_shape(shapes)
    own = schema.size(shapes)
    shuffled = np.frombuffer(_codec().decompress(frame, own + _NUMBER.itemsize * count), np.uint8)
    data = np.zeros(own, np.uint8)
    for start, end, size in schema.item_sizes(shapes):
        data[start:end].reshape(-1, size)[:] = shuffled[start:end].reshape(size, -1).T
    if not count:
        return data, np.zeros(0, _NUMBER)
    folded = shuffled[own:].reshape(4, -1).T.copy().view(_NUMBER).ravel()
    steps = (folded >> 1 & 0x7FFFFFFF) ^ -(folded & 1)
    return data, np.cumsum(steps, dtype=_NUMBER)


@cache
def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=_LEVEL)
