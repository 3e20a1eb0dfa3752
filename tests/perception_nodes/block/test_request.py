from __future__ import annotations

import ast
import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import perception_nodes
from perception.tokens import Readout, Tokens
from perception_nodes.block.cost import Cost
from perception_nodes.block.limits import DEFAULT_LIMITS, RequestLimits
from perception_nodes.block.request import (
    BlockFailed,
    MalformedRequest,
    error_name,
    error_of,
    expect_within,
    pack,
    request_of,
    tensors_of,
    unpack,
)
from perception_nodes.block.service import DeadlineExceeded, Overloaded

LIMITS = RequestLimits(max_bytes=100_000, max_tokens=64)


def good(batch: int = 2, tokens: int = 5, rows: int = 3) -> dict[str, Tensor]:
    asked = Readout(torch.zeros(batch, rows, dtype=torch.long), torch.ones(batch, rows, dtype=torch.bool))
    return tensors_of(Tokens(torch.randn(batch, tokens, 8), torch.ones(batch, tokens, dtype=torch.bool)), asked)


@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(0, 4),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
)
@settings(deadline=None, max_examples=25)
def test_a_request_comes_out_of_its_bytes_as_it_went_in(batch: int, tokens: int, rows: int, dtype: torch.dtype) -> None:
    values, valid = torch.randn(batch, tokens, 8).to(dtype), torch.rand(batch, tokens) < 0.5
    readout = Readout(torch.randint(tokens, (batch, rows)), torch.rand(batch, rows) < 0.5) if rows else Readout()
    data = pack(tensors_of(Tokens(values, valid), readout))
    got, asked = request_of(unpack(data, 10**6), 8, LIMITS)
    assert torch.equal(got.values, values)
    assert got.values.dtype == dtype
    assert torch.equal(got.valid, valid)
    for ours, theirs in ((asked.rows, readout.rows), (asked.valid, readout.valid)):
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"values": None}, "expected values, valid"),
        ({"weights": torch.zeros(1)}, "expected values, valid"),
        ({"values": torch.zeros(2, 5, 9)}, "anyxanyx8"),
        ({"values": torch.zeros(2, 5, 8, dtype=torch.float64)}, "float64"),
        ({"values": torch.zeros(10)}, "anyxanyx8"),
        ({"values": torch.full((2, 5, 8), torch.nan)}, "finite"),
        ({"values": torch.full((2, 5, 8), torch.inf)}, "finite"),
        ({"valid": torch.ones(2, 4, dtype=torch.bool)}, "valid: expected 2x5"),
        ({"valid": torch.ones(2, 5, dtype=torch.uint8)}, "uint8"),
        ({"rows": torch.full((2, 3), 5)}, "rows in 0 to 4, got 5"),
        ({"rows": torch.full((2, 3), -1)}, "rows in 0 to 4, got -1"),
        ({"rows": torch.zeros(3, 3, dtype=torch.long)}, "rows: expected 2xany"),
        ({"rows": None}, "expected rows beside"),
        ({"rows_valid": torch.ones(2, 2, dtype=torch.bool)}, "rows_valid: expected 2x3"),
    ],
)
def test_what_is_no_request_is_refused_with_what_is_wrong(change: dict[str, Tensor | None], complaint: str) -> None:
    tensors = {name: value for name, value in {**good(), **change}.items() if value is not None}
    with pytest.raises(MalformedRequest, match=complaint):
        request_of(tensors, 8, LIMITS)


def test_sets_of_too_many_tokens_and_too_long_messages_are_refused() -> None:
    with pytest.raises(MalformedRequest, match="at most 64 tokens in a set, got 65"):
        request_of(good(tokens=65), 8, LIMITS)
    with pytest.raises(MalformedRequest, match="expected at most 10"):
        unpack(pack(good()), 10)


@pytest.mark.parametrize("count", [3000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mutated_bytes_are_a_request_or_are_refused(count: int) -> None:
    sound = pack(good())
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for _ in range(count):
        data = bytearray(sound)
        for _ in range(int(torch.randint(1, 5, (), generator=generator))):
            at, byte, cut = (int(torch.randint(n, (), generator=generator)) for n in (len(data), 256, 8))
            data[at] = byte
            data = data[:at] if cut == 0 and at else data
        try:
            request_of(unpack(bytes(data), LIMITS.max_bytes), 8, LIMITS)
        except MalformedRequest:
            refused += 1
    assert count // 10 < refused < count


def test_lengths_beyond_the_message_are_refused_without_being_allocated() -> None:
    for length in (2**31, 2**62, 2**64 - 1):
        with pytest.raises(MalformedRequest):
            unpack(struct.pack("<Q", length) + pack(good())[8:], LIMITS.max_bytes)


def test_a_message_of_very_many_tensors_is_refused_before_one_is_made() -> None:
    names = {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(100)}
    header = json.dumps(names).encode()
    with pytest.raises(MalformedRequest, match=f"a header of {len(header)} bytes; expected at most 4096"):
        unpack(struct.pack("<Q", len(header)) + header, LIMITS.max_bytes)


@pytest.mark.parametrize(
    ("cost", "complaint"),
    [
        (Cost(513 * 2**20, 1), r"takes 513 MiB of memory; expected at most 512 \(max_request_mb\)"),
        (Cost(1, 101 * 10**9), r"of 101 gigaflop; expected at most 100 \(max_request_gflop\)"),
    ],
)
def test_a_request_that_takes_too_much_is_refused_with_the_limits_name(cost: Cost, complaint: str) -> None:
    expect_within(Cost(512 * 2**20, 100 * 10**9), DEFAULT_LIMITS)
    with pytest.raises(MalformedRequest, match=complaint):
        expect_within(cost, DEFAULT_LIMITS)


def test_errors_keep_their_kind_over_the_wire() -> None:
    for error in (Overloaded("full"), DeadlineExceeded("late"), MalformedRequest("bad")):
        assert type(error_of(error_name(error), str(error))) is type(error)
    assert error_name(ZeroDivisionError()) == "failed"
    assert isinstance(error_of("failed", ""), BlockFailed)
    assert isinstance(error_of("a word of tomorrow", ""), BlockFailed)


def test_nothing_in_the_nodes_can_unpickle() -> None:
    sources = sorted(Path(perception_nodes.__file__).parent.rglob("*.py"))
    imported = {
        (path.name, name.split(".")[0])
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert len(sources) > 20
    assert {pair for pair in imported if pair[1] in {"pickle", "dill", "cloudpickle", "shelve", "marshal"}} == set()
