from __future__ import annotations

import subprocess
import sys

import pytest

from perception.frozen.adapter import build_adapter
from perception.frozen.folded import FoldedBlock, fold
from perception_nodes.block.cost import cost_of
from perception_nodes.block.host import BlockHost

_MEASURE = """
import sys
from pathlib import Path

import torch

from perception.frozen.adapter import build_adapter
from perception.frozen.folded import fold
from perception.tokens import Readout, Tokens
from perception_nodes.block.cost import cost_of

source, batch, count, rows = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
folded = fold(build_adapter(16, source=source).requires_grad_(False))


def compute(batch, count, rows):
    tokens = Tokens(torch.randn(batch, count, 16), torch.ones(batch, count, dtype=torch.bool))
    folded(tokens, Readout(torch.zeros(batch, rows, dtype=torch.long)))


def peak():
    lines = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss is also that of the parent
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


compute(1, 4, 4)
before = peak()
compute(batch, count, rows)
print(peak() - before, cost_of(folded.attention, batch, count, rows).memory_bytes)
"""


@pytest.mark.parametrize(
    ("source", "batch", "tokens", "rows"),
    [
        ("random:256x1024x4", 1, 1, 12_000),  # one token, many repeated rows: the feed-forward part
        ("random:256x1024x4", 6_000, 2, 2),  # many sets
    ],
)
def test_the_memory_of_a_large_request_is_about_what_was_estimated(
    source: str, batch: int, tokens: int, rows: int
) -> None:
    words = [source, *map(str, (batch, tokens, rows))]
    finished = subprocess.run([sys.executable, "-c", _MEASURE, *words], capture_output=True, text=True, check=True)
    measured, estimated = map(int, finished.stdout.split())
    assert 0.3 * estimated < measured < 1.2 * estimated


@pytest.mark.parametrize(("heads", "of_each_row"), [(4, 64 * 64 + 3 * 64 * 96 + 2 * 64 * 16), (2, 0)])
def test_work_grows_with_rows_and_sets_and_counts_every_product(heads: int, of_each_row: int) -> None:
    attention = fold(build_adapter(16, source=f"random:64x96x{heads}").requires_grad_(False)).attention
    one, rows, sets = (cost_of(attention, *sizes) for sizes in ((1, 5, 10), (1, 5, 20), (2, 5, 10)))
    assert sets.operations == 2 * one.operations
    assert 2 * one.operations >= rows.operations > one.operations
    assert rows.operations - one.operations >= 2 * 10 * of_each_row


def test_what_is_estimated_counts_the_sizes_of_the_block(folded: FoldedBlock) -> None:
    large = fold(build_adapter(16, source="random:128x192x4").requires_grad_(False))
    with BlockHost({"forecast": folded}) as host:
        assert host.widths == {"forecast": 16}
    assert cost_of(large.attention, 1, 5, 10).operations > 2 * cost_of(folded.attention, 1, 5, 10).operations
