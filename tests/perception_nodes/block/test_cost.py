from __future__ import annotations

import copy
import math
import subprocess
import sys
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from perception.frozen.adapter import build_adapter
from perception.frozen.folded import FoldedBlock, fold
from perception.tokens import Readout, Tokens
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


class Held(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: tuple = (), kwargs: Any = None) -> Any:
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given:
                self._add(leaf.untyped_storage().nbytes())
                weakref.finalize(leaf.untyped_storage(), self._add, -leaf.untyped_storage().nbytes())
        return made

    def _add(self, size: int) -> None:
        self.bytes += size
        self.most = max(self.most, self.bytes)


@pytest.mark.parametrize("source", ["random:64x96x4", "random:256x1024x4x2"])
@pytest.mark.parametrize(
    ("tokens", "rows"), [(1, 1000), (500, 2), (1000, 1), (50, 20), (100, 100), (2, 2), (20, 400), (400, 200)]
)
def test_the_tensors_of_a_request_take_less_than_was_estimated_but_not_much_less(
    source: str, tokens: int, rows: int
) -> None:
    folded = fold(build_adapter(16, source=source).requires_grad_(False))
    request = Tokens(torch.randn(1, tokens, 16), torch.ones(1, tokens, dtype=torch.bool))
    with Held() as held:
        folded(request, Readout(torch.zeros(1, rows, dtype=torch.long)))
    estimated = cost_of(folded.attention, 1, tokens, rows).memory_bytes
    weights = 4 * folded.attention.config.heads * tokens * rows  # of attention, inside of a kernel if anywhere
    assert held.most + weights < estimated < 2.5 * (held.most + weights)
    assert cost_of(folded.attention, 7, tokens, rows).memory_bytes == 7 * estimated


@pytest.mark.parametrize(("architecture", "kv_heads"), [("llama", 2), ("opt", 4)])
@pytest.mark.parametrize("absorbs", [True, False])
def test_the_work_of_a_request_is_that_of_its_matrix_products(architecture: str, kv_heads: int, absorbs: bool) -> None:
    """Two sets of 5 tokens and 10 rows: rows, inner and outer size of each product."""
    attention = copy.copy(fold(build_adapter(16, source=f"random:64x96x4x{kv_heads}").requires_grad_(False)).attention)
    attention.config = replace(attention.config, architecture=architecture)
    attention.absorbs = lambda tokens, rows: absorbs and (tokens, rows) == (5, 10)  # pyright: ignore
    latent, size, of_heads = attention.k.shape[2], 16, 4 * 10
    of_latents = [(of_heads, size, latent), (of_heads, latent, 5), (of_heads, 5, latent), (of_heads, latent, size)]
    of_keys = [(5, latent, kv_heads * size), (5, latent, kv_heads * size), (of_heads, size, 5), (of_heads, 5, size)]
    attending = of_latents if absorbs else of_keys
    feed_forward = (3 if architecture == "llama" else 2) * [(10, 64, 96)]
    others = [(10, latent, 64), (10, 64, 64), (10, 16, 64), (10, 64, 16)]  # queries, o, project_in, project_out
    products = [*attending, *feed_forward, *others]
    assert cost_of(attention, 2, 5, 10).operations == 2 * 2 * sum(map(math.prod, products))


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
