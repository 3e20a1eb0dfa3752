from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from perception.batches import TensorRecord, axis_names, named_tensors, with_named_tensors


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


@dataclass(frozen=True)
class Declared(TensorRecord):
    poses: Float[Tensor, "views tokens 4"]
    inner: Inner


def test_tensors_have_the_names_of_their_fields_and_go_back_to_them() -> None:
    batch = Outer(torch.ones(2), Inner(torch.zeros(3), "a"))
    assert {name: tuple(tensor.shape) for name, tensor in named_tensors(batch).items()} == {
        "rows": (2,),
        "inner_values": (3,),
    }
    other = with_named_tensors(batch, {"inner_values": torch.full((5,), 7.0), "rows": torch.zeros(1)})
    assert (other.rows.tolist(), other.count) == ([0], 3)
    assert other.inner is not None
    assert (other.inner.values.tolist(), other.inner.name) == ([7] * 5, "a")
    assert named_tensors(torch.ones(1), "images").keys() == {"images"}


@dataclass(frozen=True)
class Two(TensorRecord):
    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class Nested(TensorRecord):
    rows: Tensor
    two: Two


def test_a_record_of_arrays_has_them_as_its_named_tensors_in_the_same_memory() -> None:
    arrays = {"rows": np.arange(3), "two_left": np.ones((2, 1), np.float32), "two_right": np.zeros(0, bool)}
    tensors = named_tensors(Nested.of(arrays))
    assert tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        assert torch.equal(tensors[name], torch.from_numpy(array))
    arrays["two_left"][0] = 7.0
    assert tensors["two_left"][0] == 7.0


def test_axes_have_the_names_that_the_annotation_gives_them() -> None:
    batch = Declared(torch.ones(1, 2, 4), Inner(torch.zeros(3, 2), "a"))
    assert axis_names(batch) == {"poses": ("views", "tokens", "4"), "inner_values": ("axis0", "axis1")}
    assert axis_names(torch.ones(1, 3), "images") == {"images": ("axis0", "axis1")}
