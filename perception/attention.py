"""The attention that the encoders share."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from perception.tokens import Readout


class SelfAttention(nn.Module):
    """Scaled dot-product attention among all valid tokens (Vaswani et al. 2017, eq. 1), asked for some rows.

    Args:
        dim: Width of the tokens.
        heads: Number of heads; they divide `dim`.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"SelfAttention: expected heads that divide dim={dim}, got heads={heads}")
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"],
        readout: Readout = Readout(),  # noqa: B008 - frozen
    ) -> Float[Tensor, "batch rows dim"]:
        """What the read rows gather from the valid tokens. Each batch entry needs at least one valid token."""
        query = self._heads(self.query(readout.gather(x)))
        key, value = (self._heads(part) for part in self.key_value(x).chunk(2, dim=-1))
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=valid[:, None, None])
        return self.out(gathered.transpose(1, 2).flatten(2))

    def _heads(self, x: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch heads rows head_dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
