"""Fast evaluation of the frozen block: the values of `block.py` without a D-wide vector for every token.

The result is `block(project_in(z), valid, readout)`. Two facts make most of its computation avoidable, without
approximation. Heads read few rows, and no other row of the last block affects them. And `project_in` is linear, d → D
with d ≪ D: attention depends on only d numbers per token, so keys and values need not exist in D dimensions.

The algebra, with the names in the code (h is one of H heads of size e, which share G key/value heads in groups):

    z      [N, d]   the encoder's tokens; the block's input is x = z·W1ᵀ
    r      [N, 1]   1/rms(x), without x: mean(x²) = z·(W1ᵀ·W1)·zᵀ / D
    latent [N, d]   ẑ = r·z
    A      [D, d]   diag(g)·W1, with g the gain of the attention norm: the normalised input is ẑ·Aᵀ
    Q_h    [M, e]   ẑ[rows]·Aᵀ·Wq_hᵀ, the queries of the rows that are read
    U_h    [M, d]   Q_h·Wk_h·A, because Q·Kᵀ = Q·(ẑ·Aᵀ·Wkᵀ)ᵀ = (Q·Wk·A)·ẑᵀ
    P_h    [M, N]   softmax(S_h) over the valid tokens, with scores S_h = U_h·ẑᵀ/√e
    C_h    [M, d]   P_h·ẑ, the pooled latent
    O_h    [M, e]   C_h·Aᵀ·Wv_hᵀ, because P·V = P·(ẑ·Aᵀ·Wvᵀ) = (P·ẑ)·Aᵀ·Wvᵀ
    out    [M, D]   on the rows that are read: x[rows] + O·Woᵀ, then the feed-forward part

Biases and LayerNorm (OPT) are the same algebra in homogeneous coordinates: latents get a column of ones, matrices a
column of biases; and LayerNorm is the RMS norm of centred vectors, that is, of W1 with centred columns.

The regimes compute the same products in different order:

    absorbed   as above: for every token d² + 2·M·H·d multiply-adds
    folded     K = ẑ·(Aᵀ·Wkᵀ), V = ẑ·(Aᵀ·Wvᵀ), then plain attention: d² + 2·G·e·d, and the folding once per call
    full       the plain block: d·D + 2·G·e·D

Everything is differentiable: gradients of z, W1 and a trained block are exact in each regime, and frozen weights get no
gradient buffers. `perception.frozen.readout_cost` chooses the regime.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.frozen.block import EVERY_ROW, LlamaBlock, OptBlock, attend
from perception.frozen.readout_cost import Regime, choose_regime, product_costs
from perception.kernels.linear import inference_linear
from perception.kernels.mixed_types import mixed_product
from perception.kernels.products import example_of, rows_times
from perception.tokens import Readout, Tokens


def read_rows(
    block: nn.Module,
    project_in: nn.Module,
    tokens: Tokens,
    readout: Readout = EVERY_ROW,
    regime: Regime | None = None,
) -> Float[Tensor, "batch rows width"]:
    """Returns `block(project_in(tokens.values), tokens.valid, readout)`, computed in the cheapest regime.

    Args:
        block: Language block. Other modules are simply called, as is a block behind anything but a linear layer.
        project_in: Maps the encoder's width to the block's.
        tokens: Output of the encoder.
        readout: Rows to compute.
        regime: Regime to use; None chooses the one with the fewest multiply-adds.
    """
    z, valid = tokens.values, tokens.valid
    if not isinstance(block, LlamaBlock | OptBlock) or type(project_in) is not nn.Linear:
        return block(project_in(z), valid, readout)
    if regime is None:
        regime = choose_regime(block, z, readout)
    if regime == "full":
        return block(project_in(z), valid, readout)
    to_latent, A = latent_of(block, project_in)
    latent = to_latent(z)
    rows = readout.gather(latent)
    queries = _product(rows.flatten(0, 1), A.mT, homogeneous(block.q).mT).unflatten(0, rows.shape[:2])
    attend_latent = _attend_absorbed if regime == "absorbed" else _attend_folded
    attended = attend_latent(block, queries, latent, A, valid)
    return block.finish(project_in(readout.gather(z)) + block.o(attended))


@dataclass(frozen=True)
class LatentMap:
    """The map from tokens to ẑ, such that ẑ·Aᵀ is the input of a block's query, key and value layers.

    Attributes:
        ones_before: Whether a column of ones is appended before the norm, for the bias of `project_in`.
        gram: W1ᵀ·W1 (with W1 centred for a LayerNorm); None if there is no norm before attention.
        width: D.
        eps: Epsilon of the norm.
        ones_after: Whether a column of ones is appended after the norm, for its bias and those of later layers.
    """

    ones_before: bool
    gram: Float[Tensor, "latent_dim latent_dim"] | None
    width: int
    eps: float
    ones_after: bool

    def __call__(self, z: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens latent_dim"]:
        """Returns ẑ."""
        latent = z if self.gram is None else z.to(self.gram.dtype)
        if self.ones_before:
            latent = _with_ones(latent)
        if self.gram is not None:
            with torch.autocast(z.device.type, enabled=False):
                square = (inference_linear(latent, self.gram) * latent).sum(-1, keepdim=True)
            # Rounding can make the square slightly negative.
            latent = torch.rsqrt(square.clamp_min(0) / self.width + self.eps) * latent
        return (_with_ones(latent) if self.ones_after else latent).to(z.dtype)


def latent_of(block: LlamaBlock | OptBlock, project_in: nn.Linear) -> tuple[LatentMap, Float[Tensor, "in_dim dim"]]:
    """Returns the map from tokens to ẑ, and A."""
    norm, pre_norm = block.attention_norm, isinstance(block, LlamaBlock) or block.pre_norm
    A = homogeneous(project_in)
    A, gram = A.to(torch.promote_types(A.dtype, torch.float32)), None
    if isinstance(block, OptBlock) and pre_norm:
        A = A - A.mean(0)
    if pre_norm:
        with torch.autocast(A.device.type, enabled=False):
            gram = A.mT @ A
        A = norm.weight.unsqueeze(1) * A
    if isinstance(norm, nn.LayerNorm):
        shift = norm.bias if pre_norm else torch.zeros_like(norm.bias)
        one = F.pad(A.new_ones(1, 1), (A.shape[1], 0))
        A = torch.cat([torch.cat([A, shift.unsqueeze(1)], 1), one])
    to_latent = LatentMap(
        project_in.bias is not None, gram, project_in.out_features, norm.eps, isinstance(norm, nn.LayerNorm)
    )
    return to_latent, A.to(project_in.weight.dtype)


def _attend_absorbed(
    block: LlamaBlock | OptBlock,
    queries: Float[Tensor, "batch rows inner"],
    latent: Float[Tensor, "batch tokens latent_dim"],
    A: Float[Tensor, "in_dim latent_dim"],
    valid: Bool[Tensor, "batch tokens"],
) -> Float[Tensor, "batch rows inner"]:
    """Attention to the latents themselves: key and value matrices are applied to the queries and to the output."""
    groups = block.kv_heads
    Wk, Wv = (homogeneous(linear).unflatten(0, (groups, -1)) for linear in (block.k, block.v))
    return attend_to_latents(
        queries,
        latent,
        lambda Q: _product(Q, Wk, A),
        lambda C: _product(C, A.mT, Wv.mT),
        valid,
        block.heads,
        groups,
    )


def attend_to_latents(
    queries: Float[Tensor, "batch rows inner"],
    latent: Float[Tensor, "batch tokens latent_dim"],
    to_latent: Callable[[Tensor], Tensor],
    from_latent: Callable[[Tensor], Tensor],
    valid: Bool[Tensor, "batch tokens"],
    heads: int,
    kv_heads: int,
) -> Float[Tensor, "batch rows inner"]:
    """Multi-head attention whose keys and values are the latents, the same for every head.

    Args:
        queries: Q of all heads.
        latent: ẑ.
        to_latent: Maps Q [kv_heads, queries, e] to U [kv_heads, queries, latent_dim], with a matrix per key head.
        from_latent: Maps C [kv_heads, queries, latent_dim] to O [kv_heads, queries, e].
        valid: False for padding tokens.
        heads: H.
        kv_heads: G.
    """
    batch, rows, _ = queries.shape
    Q = queries.unflatten(-1, (kv_heads, heads // kv_heads, -1)).permute(2, 0, 1, 3, 4).flatten(1, 3)
    # All heads and rows of a sample are queries to the same keys and values, the latents.
    U = to_latent(Q).unflatten(1, (batch, -1)).transpose(0, 1).flatten(1, 2)
    keys, mask, scale = latent.unsqueeze(1), valid[:, None, None, :], Q.shape[-1] ** -0.5
    C = F.scaled_dot_product_attention(U.unsqueeze(1), keys, keys, attn_mask=mask, scale=scale).squeeze(1)
    O = from_latent(C.unflatten(1, (kv_heads, -1)).transpose(0, 1).flatten(1, 2))  # noqa: E741
    return O.unflatten(1, (batch, rows, -1)).permute(1, 2, 0, 3, 4).flatten(2)


def _attend_folded(
    block: LlamaBlock | OptBlock,
    queries: Float[Tensor, "batch rows inner"],
    latent: Float[Tensor, "batch tokens latent_dim"],
    A: Float[Tensor, "in_dim latent_dim"],
    valid: Bool[Tensor, "batch tokens"],
) -> Float[Tensor, "batch rows inner"]:
    """Plain attention with keys and values computed from the latents by folded matrices."""
    folded = (mixed_product(A.mT, homogeneous(linear).mT) for linear in (block.k, block.v))
    keys, values = (mixed_product(latent, matrix) for matrix in folded)
    return attend(queries, keys, values, valid, block.heads, block.kv_heads)


def _product(
    rows: Float[Tensor, "... rows dim_in"],
    first: Float[Tensor, "... dim_in between"],
    second: Float[Tensor, "... between dim_out"],
) -> Float[Tensor, "... rows dim_out"]:
    """Returns rows·first·second, in the cheaper order."""
    dim_in, between = first.shape[-2:]
    one_by_one, folded = product_costs(example_of(rows.shape[-2]), dim_in, between, second.shape[-1])
    if one_by_one > folded:
        return mixed_product(rows, mixed_product(first, second))
    between_rows = mixed_product(rows, first)
    return rows_times(between_rows, second.mT) if second.ndim == 2 else mixed_product(between_rows, second)


def homogeneous(linear: nn.Linear) -> Float[Tensor, "dim_out dim_in"]:
    """Returns a linear layer's weight, with its bias, if any, as a further column."""
    return linear.weight if linear.bias is None else torch.cat([linear.weight, linear.bias.unsqueeze(1)], 1)


def _with_ones(x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim+1"]:
    return F.pad(x, (0, 1), value=1.0)
