"""Multiply-adds of each way to evaluate the frozen block, and the choice of the cheapest.

The output projection and the feed-forward part are left out: they are the same in every regime. The letters are those
of `perception.frozen.readout`.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from perception.frozen.block import LlamaBlock, OptBlock
from perception.kernels.products import example_of
from perception.tokens import Readout

Regime = Literal["absorbed", "folded", "full"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """The sizes that determine the cost of an evaluation.

    Attributes:
        batch: B, number of samples.
        tokens: N, tokens per sample including padding.
        rows: M, rows read per sample.
        dim: d, width of the encoder.
        width: D, width of the block.
        heads: H, number of query heads.
        kv_heads: G, number of key/value heads.
    """

    batch: int
    tokens: int
    rows: int
    dim: int
    width: int
    heads: int
    kv_heads: int


def choose_regime(block: LlamaBlock | OptBlock, z: Float[Tensor, "batch tokens dim"], readout: Readout) -> Regime:
    """Returns the cheapest regime for these sizes, and logs it."""
    batch, tokens, dim = map(example_of, z.shape)
    rows = tokens if readout.rows is None else example_of(readout.rows.shape[1])
    work = Work(batch, tokens, rows, dim, block.o.out_features, block.heads, block.kv_heads)
    regime = cheapest(work)
    if not torch.compiler.is_compiling():
        _log_choice(regime, dim, work.width, work.heads, work.kv_heads)
    return regime


@functools.cache
def _log_choice(regime: Regime, dim: int, width: int, heads: int, kv_heads: int) -> None:
    """Logs each regime once per shape of block and encoder, because other batch sizes may change the regime."""
    logger.info("block %d wide, %d/%d heads, behind %d: %s readout", width, heads, kv_heads, dim, regime)


def cheapest(work: Work) -> Regime:
    """Returns the regime with the fewest multiply-adds (a loop, since `torch.compile` lacks `min(key=...)`)."""
    best: Regime = "full"
    others: tuple[Regime, ...] = ("folded", "absorbed")
    for other in others:
        if multiply_adds(work, other) < multiply_adds(work, best):
            best = other
    return best


def multiply_adds(work: Work, regime: Regime) -> int:
    """Returns those of a forward pass that depend on the regime; the backward pass takes about twice as many."""
    every, read = work.batch * work.tokens, work.batch * work.rows
    d, D, size = work.dim, work.width, work.width // work.heads
    kv_dim = size * work.kv_heads
    attention = 2 * read * D * work.tokens
    if regime == "full":
        return every * D * (d + 2 * kv_dim) + read * D * D + attention
    rms = d * d * (D + every)
    queries_and_residual = min(product_costs(read, d, D, D)) + read * d * D
    if regime == "folded":
        return rms + queries_and_residual + 2 * d * kv_dim * (D + every) + attention
    queries_of_group = read * work.heads // work.kv_heads
    to_and_from_latent = 2 * work.kv_heads * min(product_costs(queries_of_group, size, D, d))
    latent_attention = 2 * read * work.heads * d * work.tokens
    return rms + queries_and_residual + to_and_from_latent + latent_attention


def product_costs(rows: int, dim_in: int, between: int, dim_out: int) -> tuple[int, int]:
    """Returns the multiply-adds of (rows·first)·second and of rows·(first·second)."""
    return rows * between * (dim_in + dim_out), dim_in * dim_out * (between + rows)
