"""The frozen block for heads that read every row, in little memory.

A clip has 1,568 tokens. At the width of LLaMA-7B's block each of the dozen intermediate results of one clip is 26 MB in
float32, those between its feed-forward matrices 69 MB, and training keeps most of them. Here the rows that are read go
through everything that is as wide as the block a few at a time, from the encoder's width back to the encoder's width.
Keys and values of a few heads at a time come from the latents (`perception.frozen.readout`, the folded regime, whose
maps are made once). Training keeps nothing wide and computes each part again for its gradient, which costs
another forward pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from perception.frozen.block import EVERY_ROW, LlamaBlock, OptBlock, attend
from perception.frozen.readout import homogeneous, latent_of
from perception.tokens import Readout, Tokens

_WIDTH_AT_ONCE = 512
"""Together, the keys of the heads that are computed at once are about as wide."""


def read_in_chunks(
    block: LlamaBlock | OptBlock,
    project_in: nn.Linear,
    tokens: Tokens,
    finish: Callable[[Tensor], Tensor],
    rows_at_once: int,
    readout: Readout = EVERY_ROW,
) -> Float[Tensor, "batch rows dim"]:
    """Returns `finish(block(project_in(tokens.values), tokens.valid, readout))`.

    Args:
        block: Language block.
        project_in: Maps the encoder's width to the block's.
        tokens: Output of the encoder.
        finish: Maps rows of the block's output to the encoder's width.
        rows_at_once: Number of rows that are as wide as the block at a time. Keys and values are computed anew for each
            part of a sample: with 400 of 1,568 rows that is 6 % of all products.
        readout: Rows to compute.
    """
    to_latent, A = latent_of(block, project_in)
    latent = to_latent(tokens.values)
    maps = tuple(homogeneous(linear) @ A for linear in (block.q, block.k, block.v))
    latent_rows, z_rows = readout.gather(latent), readout.gather(tokens.values)
    batch, rows = latent_rows.shape[:2]

    def part(latent: Tensor, valid: Tensor, latent_rows: Tensor, z_rows: Tensor) -> Tensor:
        attended = _attend(block, maps, latent, valid, latent_rows)
        return finish(block.finish(project_in(z_rows) + block.o(attended)))

    if not batch or not rows:
        return finish(project_in(z_rows))
    samples, count = max(rows_at_once // rows, 1), -(-rows // -(-rows // rows_at_once))  # parts of about equal length
    parts = []
    for start in range(0, batch, samples):
        of = slice(start, start + samples)
        row = [
            _kept_small(part, latent[of], tokens.valid[of], latent_rows[of, first:last], z_rows[of, first:last])
            for first, last in zip(range(0, rows, count), range(count, rows + count, count), strict=True)
        ]
        parts.append(torch.cat(row, 1))
    return torch.cat(parts)


def _kept_small(part: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Calls a function; its gradient keeps what it is given, and nothing else."""
    if not torch.is_grad_enabled():
        return part(*tensors)
    return checkpoint(part, *tensors, use_reentrant=False, preserve_rng_state=False)  # pyright: ignore[reportReturnType]


def _attend(
    block: LlamaBlock | OptBlock,
    maps: tuple[Tensor, ...],
    latent: Float[Tensor, "batch tokens latent_dim"],
    valid: Bool[Tensor, "batch tokens"],
    latent_rows: Float[Tensor, "batch rows latent_dim"],
) -> Float[Tensor, "batch rows inner"]:
    """Returns the outputs of all heads; keys and values of a few heads at a time."""
    groups, share = block.kv_heads, block.heads // block.kv_heads
    q, k, v = (map.unflatten(0, (groups, -1)) for map in maps)
    at_once = max(_WIDTH_AT_ONCE // k.shape[1], 1)
    attended = []
    for first in range(0, groups, at_once):
        some = slice(first, first + at_once)
        queries, keys, values = (
            given @ map[some].flatten(0, 1).mT for given, map in ((latent_rows, q), (latent, k), (latent, v))
        )
        count = len(k[some])
        attended.append(attend(queries, keys, values, valid, count * share, count))
    return torch.cat(attended, -1)
