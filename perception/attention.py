"""Attention layers shared by the encoders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Scaled dot-product attention among the tokens of each batch entry (Vaswani et al. 2017, eq. 1).

    Tokens are packed: the valid tokens of all entries are concatenated, in the order of `values[valid]`, so that linear
    maps skip the padding. In batches of traffic scenes half of all tokens are padding.

    Args:
        dim: Width of the tokens.
        heads: Number of heads; they divide `dim`.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"SelfAttention: expected heads that divide dim={dim}, got heads={heads}")
        self.heads = heads
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self, x: Float[Tensor, "packed dim"], valid: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "packed dim"]:
        """Returns the attention output of every token. Each batch entry needs at least one valid token."""
        padded = unpack(self.query_key_value(x), valid)
        query, key, value = padded.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=valid[:, None, None])
        return self.out(pack(gathered.transpose(1, 2).flatten(2), valid))


@dataclass(frozen=True)
class Neighbours:
    """The tokens of the same batch entry that each token attends to.

    Attributes:
        index: Token indices without repetition.
        valid: False for padding; every valid token needs at least one neighbour.
    """

    index: Int[Tensor, "batch tokens neighbours"]
    valid: Bool[Tensor, "batch tokens neighbours"]

    def gather(self, values: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens neighbours dim"]:
        """Returns the values of each token's neighbours."""
        rows = self.index.flatten(1).unsqueeze(-1).expand(-1, -1, values.shape[-1])
        return values.gather(1, rows).unflatten(1, self.index.shape[1:])


class RelativeAttention(nn.Module):
    """Attention to neighbours with relative positions (Shaw et al. 2018, eq. 3-4).

    A relation r adds a key and a value to those of its neighbour (https://arxiv.org/abs/1803.02155). Both are linear in
    r, so the maps are applied where that is cheap: q·(K r) is (Kᵀq)·r, and Σ a (V r) is V Σ a r. No vector as wide as a
    token is computed for a pair of tokens.

    Args:
        dim: Width of the tokens.
        heads: Number of heads; they divide `dim`.
        relation_dim: Width of the relations.
    """

    def __init__(self, dim: int, heads: int, relation_dim: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"RelativeAttention: expected heads that divide dim={dim}, got heads={heads}")
        self.heads = heads
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.relation_key = nn.Parameter(torch.empty(heads, dim // heads, relation_dim))
        self.relation_value = nn.Parameter(torch.empty(heads, relation_dim, dim // heads))
        for weight in (self.relation_key, self.relation_value):
            nn.init.uniform_(weight, -(relation_dim**-0.5), relation_dim**-0.5)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "packed dim"],
        valid: Bool[Tensor, "batch tokens"],
        neighbours: Neighbours,
        relations: Float[Tensor, "batch tokens neighbours relation_dim"],
    ) -> Float[Tensor, "packed dim"]:
        """Returns the attention output of every token; tokens are packed as in `SelfAttention`."""
        padded = unpack(self.query_key_value(x), valid)
        query, key, value = padded.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = query * query.shape[-1] ** -0.5
        index = neighbours.index.unsqueeze(1).expand(-1, self.heads, -1, -1)
        relation_scores = (query @ self.relation_key).transpose(1, 2) @ relations.transpose(2, 3)
        scores = (query @ key.transpose(2, 3)).gather(3, index) + relation_scores.transpose(1, 2)
        attends = neighbours.valid.unsqueeze(1)
        weights = scores.masked_fill(~attends, torch.finfo(scores.dtype).min).softmax(-1) * attends
        # One product over all tokens: gathering a value for each pair would take far more memory.
        all_weights = weights.new_zeros(*weights.shape[:3], valid.shape[1]).scatter_add(3, index, weights)
        from_relations = (weights.transpose(1, 2) @ relations).transpose(1, 2) @ self.relation_value
        gathered = all_weights @ value + from_relations
        return self.out(pack(gathered.transpose(1, 2).flatten(2), valid))


def pack(
    values: Shaped[Tensor, "batch tokens dim"], valid: Bool[Tensor, "batch tokens"]
) -> Shaped[Tensor, "packed dim"]:
    """Concatenates the rows of the valid tokens of all entries; in an exported graph, the rows of all tokens.

    How many tokens are valid is known only when they are counted, which graphs of a runtime do badly. What lies between
    `pack` and `unpack` treats each row by itself, so rows of padding do no harm but their time.
    """
    if torch.compiler.is_exporting():
        return values.flatten(0, 1)
    return values.flatten(0, 1).index_select(0, valid.flatten().nonzero().squeeze(1))


def unpack(
    packed: Float[Tensor, "packed dim"], valid: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch tokens dim"]:
    """Puts packed rows back to the positions of the valid tokens; padding rows are 0."""
    if torch.compiler.is_exporting():  # see `pack`
        return packed.unflatten(0, valid.shape) * valid.unsqueeze(-1)
    rows = packed.new_zeros(valid.numel(), packed.shape[-1])
    return rows.index_copy(0, valid.flatten().nonzero().squeeze(1), packed).unflatten(0, valid.shape)
