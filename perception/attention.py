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
        self.relation_key, self.relation_value = _maps_of_heads(heads, dim // heads, relation_dim)
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


class GatheredAttention(nn.Module):
    """Attention of some rows to a fixed number of rows of a table, with relative positions (Shaw et al. 2018, eq. 3-4).

    Computes what `RelativeAttention` computes, at a cost that grows with the number of pairs, not with its square. Here
    keys and values are not computed either: with x_j in place of r, q·(K x_j) is (Kᵀq)·x_j as well, so that the table's
    rows are gathered once and all heads share them. What has no effect is left out: a key's bias changes no weight, and
    a value's is the output's. A row may have several queries, which share what is gathered for it.

    Args:
        dim: Width of the rows.
        heads: Number of heads; they divide `dim`.
        relation_dim: Width of the relations.
    """

    def __init__(self, dim: int, heads: int, relation_dim: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"GatheredAttention: expected heads that divide dim={dim}, got heads={heads}")
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key, self.value = _maps_of_heads(heads, dim // heads, dim)
        self.relation_key, self.relation_value = _maps_of_heads(heads, dim // heads, relation_dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "rows queries dim"],
        table: Float[Tensor, "elements dim"],
        index: Int[Tensor, "rows neighbours"],
        valid: Bool[Tensor, "rows neighbours"],
        relations: Float[Tensor, "rows neighbours relation_dim"],
    ) -> Float[Tensor, "rows queries dim"]:
        """Returns what each query gathers.

        Args:
            x: Queries.
            table: What is attended to, of all scenes.
            index: Which rows of the table each row attends to.
            valid: False for padding. A row without any valid neighbour gathers nothing.
            relations: How each neighbour lies to the row.
        """
        seen = table.index_select(0, index.flatten()).unflatten(0, index.shape)
        query = self.query(x).unflatten(-1, (self.heads, -1)) * (x.shape[-1] / self.heads) ** -0.5
        scores = _of_heads(query, self.key) @ seen.transpose(1, 2)
        scores = scores + _of_heads(query, self.relation_key) @ relations.transpose(1, 2)
        attends = valid.unsqueeze(1)
        weights = scores.masked_fill(~attends, torch.finfo(scores.dtype).min).softmax(-1) * attends
        by_head = (x.shape[1], self.heads)
        gathered = _of_heads((weights @ seen).unflatten(1, by_head), self.value)
        gathered = gathered + _of_heads((weights @ relations).unflatten(1, by_head), self.relation_value)
        return self.out(gathered.unflatten(1, by_head).flatten(2))


def _of_heads(
    x: Float[Tensor, "rows queries heads features"], maps: Float[Tensor, "heads features width"]
) -> Float[Tensor, "rows queries_heads width"]:
    """Each head's map of its own vectors."""
    return torch.einsum("rqhf,hfw->rqhw", x, maps).flatten(1, 2)


def _maps_of_heads(heads: int, width: int, features: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Maps that give each head's keys, transposed so that they apply to the query, and its values."""
    maps = nn.Parameter(torch.empty(heads, width, features)), nn.Parameter(torch.empty(heads, features, width))
    for weight in maps:
        nn.init.uniform_(weight, -(features**-0.5), features**-0.5)
    return maps


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
