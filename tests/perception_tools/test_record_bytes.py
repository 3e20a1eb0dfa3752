"""Records come back as they were, and nothing but records."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from perception_tools.record_bytes import from_bytes, to_bytes


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Held:
    name: str
    values: Any


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and same(left.numpy(), right.numpy())
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, Held):
        return isinstance(right, Held) and left.name == right.name and same(left.values, right.values)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


ARRAYS = npst.arrays(
    st.sampled_from(["<f4", "<f8", "<i8", "|b1", "|u1"]), npst.array_shapes(min_dims=0, max_dims=3, min_side=0)
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.just(Colour.RED),
    ARRAYS, ARRAYS.map(torch.from_numpy), st.floats(width=32, allow_nan=False).map(np.float32),
)  # fmt: skip
RECORDS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.dictionaries(st.text(), inner, max_size=3),
        st.builds(Held, st.text(), inner),
    ),
    max_leaves=5,
)  # fmt: skip


@given(RECORDS)
def test_records_come_back_as_they_were(record: Any) -> None:
    assert same(record, from_bytes(to_bytes(record)))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_is_read(at: int, bit: int) -> None:
    data = bytearray(to_bytes(Held("a", np.arange(40.0))))
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(pickle.UnpicklingError, match="expected the bytes that were written"):
        from_bytes(bytes(data))


def test_a_cut_record_is_not_read() -> None:
    data = to_bytes(Held("a", np.arange(40.0)))
    for end in (0, 3, 4, 5, len(data) - 1):
        with pytest.raises(pickle.UnpicklingError):
            from_bytes(data[:end])


class Runs:
    """Its pickle calls a function when it is read."""

    def __init__(self, call: Any, *args: Any) -> None:
        self.reduced = call, args

    def __reduce__(self) -> tuple:
        return self.reduced


@pytest.mark.parametrize("call", [print, eval, getattr, torch.load, np.load, Runs, pickle.loads])
def test_bytes_that_would_run_code_are_refused(call: Any) -> None:
    with pytest.raises(pickle.UnpicklingError, match="expected a dataclass, an enumeration or an array, found"):
        from_bytes(to_bytes(Runs(call, "1")))


def test_what_cannot_be_found_again_is_refused_in_writing() -> None:
    @dataclass
    class Local:
        value: int

    with pytest.raises((pickle.PicklingError, AttributeError)):
        to_bytes(Local(1))
