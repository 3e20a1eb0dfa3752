from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from perception.frozen import chunked
from perception.frozen.adapter import FrozenBlockAdapter
from perception.frozen.block import EVERY_ROW, BlockConfig, RMSNorm
from perception.tokens import Readout, Tokens

LLAMA = BlockConfig("llama", 32, 8, 2, 48, 1e-5)
CONFIGS = (
    LLAMA,
    BlockConfig("opt", 32, 4, 4, 48, 1e-5),
    BlockConfig("opt", 32, 4, 4, 48, 1e-5, pre_norm=False),
)


def make_adapter(
    config: BlockConfig = LLAMA, *, dim: int = 6, bias: bool = False, residual: bool = False
) -> FrozenBlockAdapter:
    torch.manual_seed(0)
    block = config.build()
    parts = nn.Linear(dim, config.dim, bias), RMSNorm(config.dim, 1e-5), nn.Linear(config.dim, dim, bias)
    adapter = FrozenBlockAdapter(parts[0], [block], parts[1], parts[2], residual=residual).double()
    for parameter in adapter.parameters():
        nn.init.normal_(parameter, std=0.3)
    block.requires_grad_(False)
    return adapter


def make_tokens(batch: int, tokens: int, dim: int = 6, padding: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(1)
    valid = torch.arange(tokens).expand(batch, -1) < tokens - padding
    return Tokens(torch.randn(batch, tokens, dim, dtype=torch.float64, generator=generator), valid)


def results(adapter: FrozenBlockAdapter, tokens: Tokens, readout: Readout, rows: int | None) -> list[Tensor]:
    """The rows that are read, and the gradients of the tokens and of all that is trained."""
    adapter.rows_at_once = rows
    values = tokens.values.clone().requires_grad_()
    adapter.zero_grad()
    out = adapter(tokens.replace(values), readout)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    gradients = [p.grad for p in adapter.parameters() if p.requires_grad]
    return [out.detach(), *(g.clone() for g in (values.grad, *gradients) if g is not None)]


@settings(max_examples=15)
@given(st.sampled_from(CONFIGS), st.integers(1, 3), st.integers(1, 9), st.integers(1, 12), st.booleans(), st.data())
def test_values_and_gradients_are_those_of_all_rows_at_once(
    config: BlockConfig, batch: int, tokens: int, rows_at_once: int, flag: bool, data: st.DataObject
) -> None:
    adapter = make_adapter(config, bias=flag, residual=not flag)
    given_tokens = make_tokens(batch, tokens, padding=data.draw(st.integers(0, tokens)))
    readout = EVERY_ROW
    if data.draw(st.booleans()):
        some = st.lists(st.integers(0, tokens - 1), min_size=4, max_size=4)
        readout = Readout(torch.tensor([data.draw(some) for _ in range(batch)]))
    mine = results(adapter, given_tokens, readout, rows_at_once)
    plain = results(adapter, given_tokens, readout, None)
    assert len(mine) == len(plain) == (7 if flag else 5)
    for ours, theirs in zip(mine, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_no_sample_and_no_row_are_no_special_case(shape: tuple[int, int]) -> None:
    adapter = make_adapter()
    adapter.rows_at_once = 4
    assert adapter(make_tokens(*shape)).shape == (*shape, 6)


class LargestMade(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else [out]:
            if isinstance(value, Tensor) and not value._is_view():
                self.numbers = max(self.numbers, value.numel())
        return out


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_as_wide_as_the_block_for_all_tokens(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "_WIDTH_AT_ONCE", 64)
    config, tokens, rows = BlockConfig("llama", 256, 8, 8, 384, 1e-6), 600, 50
    adapter = make_adapter(config, dim=8).float()
    given_tokens = make_tokens(2, tokens, dim=8)
    values = given_tokens.values.float().requires_grad_(training)
    largest = {}
    for rows_at_once in (rows, None):
        adapter.rows_at_once = rows_at_once
        with torch.set_grad_enabled(training), LargestMade() as made:
            out = adapter(given_tokens.replace(values))
            if training:
                out.sum().backward()
        largest[rows_at_once] = made.numbers
    a_weight = config.dim * config.ffn_dim
    assert a_weight < tokens * config.dim, "the size of one sample's tokens at the block's width"
    assert largest[rows] <= a_weight
    assert largest[None] >= 2 * tokens * config.ffn_dim


def test_training_keeps_nothing_wide() -> None:
    config, tokens = BlockConfig("llama", 512, 8, 8, 768, 1e-6), 200
    adapter = make_adapter(config, dim=8).float()
    kept: dict[int | None, int] = {}
    for rows in (25, None):
        adapter.rows_at_once = rows
        given_tokens, sizes = make_tokens(2, tokens, dim=8), {}

        def note(value: Tensor, sizes: dict = sizes) -> Tensor:
            sizes[value.data_ptr()] = value.numel()
            return value

        values = given_tokens.values.float().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            adapter(given_tokens.replace(values))
        of_block = {p.data_ptr() for p in adapter.parameters()}
        kept[rows] = sum(size for pointer, size in sizes.items() if pointer not in of_block)
    whole = 2 * tokens * config.dim
    assert kept[None] is not None
    assert kept[None] > 8 * whole
    assert kept[25] < whole / 2
