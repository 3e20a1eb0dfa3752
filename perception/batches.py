"""Batches that move between devices and into pinned memory as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

Record = TypeVar("Record")


class TensorRecord:
    """A mixin for dataclasses whose fields are tensors, further dataclasses of tensors, or anything else."""

    def to(self: Record, device: torch.device | str, non_blocking: bool = False) -> Record:
        """The same record with all tensors on a device."""
        return _with_tensors(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self: Record) -> Record:
        """The same record in page-locked memory, from which it is copied to a GPU faster; a `DataLoader` calls this."""
        return _with_tensors(self, Tensor.pin_memory)


def _with_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _with_tensors(getattr(value, f.name), change) for f in fields(value)})
    return value
