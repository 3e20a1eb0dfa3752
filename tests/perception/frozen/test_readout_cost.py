"""The cost model of the readout, compared with PyTorch's count of multiply-adds and with measured times."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from perception.frozen.block import EVERY_ROW, BlockConfig
from perception.frozen.readout import read_rows
from perception.frozen.readout_cost import Regime, Work, cheapest, choose_regime, multiply_adds
from perception.tokens import Readout, Tokens


def evaluate(
    config: BlockConfig, dim: int, batch: int, tokens: int, rows: int, regimes: tuple[Regime | None, ...]
) -> list[int]:
    """Evaluates a block in each regime; returns the operations that PyTorch counts (float64: it ignores oneDNN)."""
    block, project_in = config.build().double(), nn.Linear(dim, config.dim, bias=False).double()
    values = Tokens(torch.randn(batch, tokens, dim).double(), torch.ones(batch, tokens, dtype=torch.bool))
    readout = Readout(torch.randint(tokens, (batch, rows)))
    flops = []
    for regime in regimes:
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
            read_rows(block, project_in, values, readout, regime)
        flops.append(counter.get_total_flops())
    return flops


@settings(deadline=None, max_examples=8)
@given(
    heads_a_group=st.integers(1, 3),
    sizes=st.tuples(*[st.integers(1, 40)] * 3),
    dims=st.tuples(st.integers(1, 24), st.integers(1, 12)),
)
def test_cost_model_counts_the_multiply_adds_that_torch_counts(
    heads_a_group: int, sizes: tuple[int, int, int], dims: tuple[int, int]
) -> None:
    (batch, tokens, rows), (dim, ffn_dim), kv_heads = sizes, dims, 2
    width = 4 * kv_heads * heads_a_group
    config = BlockConfig("llama", width, kv_heads * heads_a_group, kv_heads, ffn_dim, 1e-5)
    work = Work(batch, tokens, rows, dim, width, config.heads, kv_heads)
    regimes = get_args(Regime)
    counted = evaluate(config, dim, batch, tokens, rows, regimes)
    output_and_ffn = batch * rows * width * (width + 3 * ffn_dim)
    assert [2 * (multiply_adds(work, regime) + output_and_ffn) for regime in regimes] == counted


def test_cost_model_picks_the_fastest_regime_of_the_recorded_table_or_one_nearly_as_fast() -> None:
    table = json.loads(Path(__file__).with_name("readout_times.json").read_text())
    picked = set()
    for entry in table:
        regime, milliseconds = cheapest(Work(*entry["work"])), entry["milliseconds"]
        assert milliseconds[regime] <= 1.2 * min(milliseconds.values()), entry
        picked.add(regime)
    assert picked == set(get_args(Regime))


def test_choice_depends_on_how_many_rows_are_read() -> None:
    with torch.device("meta"):
        block, tokens = BlockConfig("llama", 576, 9, 3, 1536, 1e-5).build(), torch.empty(8, 80, 256)
    assert choose_regime(block, tokens, Readout(torch.zeros(8, 1, dtype=torch.long))) == "absorbed"
    assert choose_regime(block, tokens, Readout(torch.zeros(8, 80, dtype=torch.long))) == "full"
    assert choose_regime(block, tokens, EVERY_ROW) == "full"


def test_choice_is_logged_once_for_each_regime(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "perception")
    config = BlockConfig("llama", 40, 4, 4, 60, 1e-5)  # no other test has this shape
    for tokens, rows in [(50, 1), (60, 1), (1, 1), (50, 1), (2, 2)]:
        evaluate(config, 6, 2, tokens, rows, (None,))
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == ["absorbed readout", "full readout"]
