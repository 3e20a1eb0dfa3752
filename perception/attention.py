"""The attention that the encoders share."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Scaled dot-product attention among the tokens of each batch entry (Vaswani et al. 2017, eq. 1).

    Tokens are packed: the valid ones of all entries stand one after another, in the order of `values[valid]`. So no
    linear map is spent on padding, which is half of all tokens where entries differ as much as traffic scenes do.

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
        """What every token gathers. Each batch entry needs at least one valid token."""
        padded = unpack(self.query_key_value(x), valid)
        query, key, value = padded.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=valid[:, None, None])
        return self.out(pack(gathered.transpose(1, 2).flatten(2), valid))


def pack(values: Float[Tensor, "batch tokens dim"], valid: Bool[Tensor, "batch tokens"]) -> Float[Tensor, "packed dim"]:
    """The rows of the valid tokens, one after another."""
    return values.flatten(0, 1).index_select(0, valid.flatten().nonzero().squeeze(1))


def unpack(
    packed: Float[Tensor, "packed dim"], valid: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch tokens dim"]:
    """The packed rows at the places of the valid tokens, 0 elsewhere."""
    rows = packed.new_zeros(valid.numel(), packed.shape[-1])
    return rows.index_copy(0, valid.flatten().nonzero().squeeze(1), packed).unflatten(0, valid.shape)
