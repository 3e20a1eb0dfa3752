from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from perception.batches import TensorRecord


@dataclass(frozen=True)
class Inner(TensorRecord):
    values: Tensor
    name: str


@dataclass(frozen=True)
class Outer(TensorRecord):
    rows: Tensor
    inner: Inner | None
    count: int = 3


def test_every_tensor_moves_however_deep_and_nothing_else_changes() -> None:
    batch = Outer(torch.ones(2), Inner(torch.zeros(3), "a"))
    moved = batch.to("meta")
    assert (moved.rows.device.type, moved.count) == ("meta", 3)
    assert moved.inner is not None
    assert (moved.inner.values.device.type, moved.inner.name) == ("meta", "a")
    assert batch.rows.device.type == "cpu", "the batch itself stays where it is"


def test_an_absent_part_stays_absent() -> None:
    assert Outer(torch.ones(1), None).to("cpu").inner is None


def test_pinning_reaches_every_tensor(monkeypatch) -> None:
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor + 1)  # needs a GPU
    pinned = Outer(torch.ones(2), Inner(torch.zeros(3), "a")).pin_memory()
    assert pinned.inner is not None
    assert (pinned.rows.tolist(), pinned.inner.values.tolist()) == ([2, 2], [1, 1, 1])
