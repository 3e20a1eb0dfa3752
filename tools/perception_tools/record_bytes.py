"""Prepared records as bytes: dataclasses, arrays and tensors by pickle, read back without its power to run code."""

from __future__ import annotations

import io
import pickle
import sys
import zlib
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor

_CHECKSUM_BYTES = 4
_ARRAYS = {np.empty(1).__reduce_ex__(5)[0], np.empty(1).__reduce__()[0], np.float64(1).__reduce__()[0]}
"""NumPy's functions that make an array or a number again."""


def tensor_of(values: np.ndarray) -> Tensor:
    """Returns the tensor of an array. PyTorch's own function has no name by which pickle finds it."""
    return torch.from_numpy(values)


_CALLABLE = {np.ndarray, np.dtype, tensor_of, *_ARRAYS}


def to_bytes(record: Any) -> bytes:
    """Returns a record as bytes that begin with their checksum.

    Args:
        record: Dataclasses, enumerations, containers, texts, numbers, arrays, and tensors on the CPU, nested at will.

    Raises:
        pickle.PicklingError: It holds something that pickle cannot find again, such as an object of a local class.
        TypeError: It holds something that cannot be pickled, such as an open file.
    """
    stream = io.BytesIO(bytes(_CHECKSUM_BYTES))
    stream.seek(_CHECKSUM_BYTES)
    _Pickler(stream, protocol=5).dump(record)
    data = stream.getbuffer()
    data[:_CHECKSUM_BYTES] = _checksum(data[_CHECKSUM_BYTES:])
    return bytes(data)


def from_bytes(data: bytes) -> Any:
    """Returns the record that `to_bytes` was given.

    Raises:
        pickle.UnpicklingError: The bytes are damaged, or name anything but dataclasses, enumerations and arrays.
    """
    held = memoryview(data)
    if _checksum(held[_CHECKSUM_BYTES:]) != held[:_CHECKSUM_BYTES]:
        raise pickle.UnpicklingError("expected the bytes that were written, found others")
    return _Unpickler(io.BytesIO(held[_CHECKSUM_BYTES:])).load()


def _checksum(data: memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")


class _Pickler(pickle.Pickler):
    """Writes a tensor as its array: PyTorch's own form is a file that is read without limits."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is Tensor:
            return tensor_of, (obj.detach().numpy(),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Finds nothing but what records are made of, in modules that are imported already."""

    def find_class(self, module: str, name: str) -> Any:
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        is_record = isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum))
        if is_record or any(found is allowed for allowed in _CALLABLE):
            return found
        raise pickle.UnpicklingError(f"expected a dataclass, an enumeration or an array, found {module}.{name}")
