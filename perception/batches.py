"""Batches that move between devices and into pinned memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar, get_type_hints

import numpy as np
import torch
from torch import Tensor

Record = TypeVar("Record")


class TensorRecord:
    """A mixin for dataclasses whose fields are tensors, further dataclasses of tensors, or anything else."""

    @classmethod
    def of(cls: type[Record], arrays: Mapping[str, np.ndarray]) -> Record:
        """The record whose `named_tensors` are these arrays; they share their memory."""
        return _of_arrays(cls, arrays, "")

    def to(self: Record, device: torch.device | str, non_blocking: bool = False) -> Record:
        """The same record with all tensors on a device."""
        return _with_tensors(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self: Record) -> Record:
        """The same record in page-locked memory, from which it is copied to a GPU faster; a `DataLoader` calls this."""
        return _with_tensors(self, Tensor.pin_memory)


def _of_arrays(kind: type[Record], arrays: Mapping[str, np.ndarray], prefix: str) -> Record:
    inner = _inner_records(kind)
    return kind(
        **{
            f.name: _of_arrays(inner[f.name], arrays, f"{prefix}{f.name}_")
            if f.name in inner
            else torch.from_numpy(arrays[prefix + f.name])
            for f in fields(kind)  # pyright: ignore[reportArgumentType]
        }
    )


@cache
def _inner_records(kind: type) -> dict[str, Any]:
    """Fields of a dataclass that are dataclasses themselves, and which."""
    return {name: hint for name, hint in get_type_hints(kind).items() if is_dataclass(hint)}


def _with_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _with_tensors(getattr(value, f.name), change) for f in fields(value)})
    return value


def named_tensors(value: Any, name: str = "values") -> dict[str, Tensor]:
    """The tensors of a batch or of an answer by name, as a graph in a runtime takes and gives them.

    Args:
        value: A tensor, or a dataclass whose fields are tensors, further dataclasses, or anything else. A tensor inside
            a field that is a dataclass is called FIELD_NAME.
        name: Name of a tensor that stands alone.
    """
    if isinstance(value, Tensor):
        return {name: value}
    found: dict[str, Tensor] = {}
    for field in fields(value) if is_dataclass(value) else ():
        inside = named_tensors(getattr(value, field.name), field.name)
        is_nested = is_dataclass(getattr(value, field.name))
        found |= {f"{field.name}_{key}": tensor for key, tensor in inside.items()} if is_nested else inside
    return found


def with_named_tensors(value: Record, tensors: Mapping[str, Tensor]) -> Record:
    """The batch with other tensors; the inverse of `named_tensors`."""
    left = iter([tensors[name] for name in named_tensors(value)])
    return _with_tensors(value, lambda _: next(left))


def axis_names(value: Any, name: str = "values") -> dict[str, tuple[str, ...]]:
    """Names of the axes of each of `named_tensors`, as its dataclass declares them; numbers where they are fixed.

    A tensor whose annotation does not name each of its axes has the names axis0, axis1 and so on.
    """
    if isinstance(value, Tensor):
        return {name: tuple(f"axis{axis}" for axis in range(value.ndim))}
    found: dict[str, tuple[str, ...]] = {}
    hints = get_type_hints(type(value)) if is_dataclass(value) else {}
    for field in fields(value) if is_dataclass(value) else ():
        inner = getattr(value, field.name)
        if isinstance(inner, Tensor):
            names = tuple(getattr(hints[field.name], "dim_str", "").split())
            found[field.name] = names if len(names) == inner.ndim else axis_names(inner, field.name)[field.name]
        else:
            found |= {f"{field.name}_{key}": names for key, names in axis_names(inner, field.name).items()}
    return found
