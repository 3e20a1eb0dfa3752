from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from perception.frozen.block import EVERY_ROW, BlockConfig, LlamaBlock, OptBlock
from perception.frozen.readout import Regime, read_rows
from perception.tokens import Readout, Tokens

few = settings(deadline=None, max_examples=25)
regimes = pytest.mark.parametrize("regime", get_args(Regime))


@dataclass
class Case:
    """A block behind its projection, and what is asked of it."""

    block: LlamaBlock | OptBlock
    project_in: nn.Linear
    tokens: Tokens
    readout: Readout

    def to(self, dtype: torch.dtype) -> Case:
        tokens = self.tokens.replace(self.tokens.values.to(dtype))
        return Case(self.block.to(dtype), self.project_in.to(dtype), tokens, self.readout)

    def plain(self) -> Tensor:
        return self.block(self.project_in(self.tokens.values), self.tokens.valid, self.readout)

    def read(self, regime: Regime | None) -> Tensor:
        return read_rows(self.block, self.project_in, self.tokens, self.readout, regime)

    def inputs(self) -> list[Tensor]:
        """Everything that may get a gradient: tokens, projection, block."""
        return [self.tokens.values, *self.project_in.parameters(), *self.block.parameters()]


def make_case(
    config: BlockConfig,
    *,
    dim: int = 6,
    bias: bool = False,
    batch: int = 2,
    tokens: int = 7,
    rows: int | None = 3,
    seed: int = 0,
) -> Case:
    """A float64 case, every weight random, norms and biases too; some rows pad, some tokens (perhaps all) are not valid."""
    torch.manual_seed(seed)
    block, project_in = config.build().double(), nn.Linear(dim, config.dim, bias).double()
    for parameter in [*block.parameters(), *project_in.parameters()]:
        nn.init.normal_(parameter, std=0.3)
    values = torch.randn(batch, tokens, dim, dtype=torch.float64, requires_grad=True)
    readout = EVERY_ROW
    if rows is not None:
        readout = Readout(torch.randint(tokens, (batch, rows)), torch.rand(batch, rows) < 0.8)
    return Case(block, project_in, Tokens(values, torch.rand(batch, tokens) < 0.6), readout)


@st.composite
def configs(draw: st.DrawFn) -> BlockConfig:
    """Small blocks of every architecture, grouped-query heads included."""
    kv_heads, group, head_dim = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    heads, ffn_dim = kv_heads * group, draw(st.integers(1, 12))
    if draw(st.booleans()):
        return BlockConfig("llama", heads * head_dim, heads, kv_heads, ffn_dim, 1e-5)
    return BlockConfig("opt", heads * head_dim, heads, heads, ffn_dim, 1e-5, pre_norm=draw(st.booleans()))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any block, projection, padding and rows: none to all of the tokens valid, rows repeated and unsorted, or all."""
    return make_case(
        draw(configs()),
        dim=draw(st.integers(1, 12)),
        bias=draw(st.booleans()),
        batch=draw(st.integers(1, 3)),
        tokens=draw(st.integers(1, 9)),
        rows=draw(st.none() | st.integers(1, 10)),
        seed=draw(st.integers(0, 99)),
    )


def assert_same(ours: Tensor, plain: Tensor, tolerance: float) -> None:
    assert ours.isfinite().all()
    assert ours.dtype is plain.dtype
    scale = plain.abs().max().clamp_min(1.0).item()
    torch.testing.assert_close(ours, plain, rtol=0, atol=tolerance * scale)


def assert_same_gradients(case: Case, ours: Tensor, plain: Tensor, tolerance: float) -> None:
    weight = torch.randn_like(plain)
    ours_gradients = torch.autograd.grad((ours * weight).sum(), case.inputs())
    plain_gradients = torch.autograd.grad((plain * weight).sum(), case.inputs())
    for ours_gradient, plain_gradient in zip(ours_gradients, plain_gradients, strict=True):
        assert_same(ours_gradient, plain_gradient, tolerance)


@regimes
@few
@given(case=cases())
def test_float64_values_and_all_gradients_are_the_plain_blocks(regime: Regime, case: Case) -> None:
    ours, plain = case.read(regime), case.plain()
    assert_same(ours, plain, 1e-10)
    assert_same_gradients(case, ours, plain, 1e-10)
