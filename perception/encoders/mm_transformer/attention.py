"""The transformer layers of mmTransformer, with the names of its released code (decisionforce/mmTransformer)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

MASKED = -1e9
"""Score of what must not be seen, as released. Where nothing may be seen, attention is even and finite, not NaN."""


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention.

    Args:
        dim: Width of the tokens.
        heads: Number of heads; they divide `dim`.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"MultiHeadAttention: expected heads that divide dim={dim}, got heads={heads}")
        self.heads = heads
        self.linears = nn.ModuleList(nn.Linear(dim, dim) for _ in range(4))

    def forward(
        self,
        query: Float[Tensor, "batch queries dim"],
        key: Float[Tensor, "batch keys dim"],
        value: Float[Tensor, "batch keys dim"],
        valid: Bool[Tensor, "batch keys"] | None = None,
    ) -> Float[Tensor, "batch queries dim"]:
        """What each query gathers from the valid keys."""
        mask = None if valid is None else torch.where(valid, 0.0, MASKED).to(query.dtype)[:, None, None]
        of_heads = [
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, x in zip(self.linears, (query, key, value), strict=False)
        ]
        gathered = F.scaled_dot_product_attention(*of_heads, attn_mask=mask)
        return self.linears[3](gathered.transpose(1, 2).flatten(2))


class PointerwiseFeedforward(nn.Module):
    """Two linear maps with a ReLU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(dim, hidden)
        self.w_2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "*n dim"]) -> Float[Tensor, "*n dim"]:
        """Same shape."""
        return self.w_2(self.w_1(x).relu())


class Sublayer(nn.Module):
    """The norm before an attention or a feed-forward map; whoever calls it adds the input again."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "*n dim"]) -> Float[Tensor, "*n dim"]:
        """Same shape."""
        return self.norm(x)


class EncoderLayer(nn.Module):
    """Self-attention, then a feed-forward map."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(dim, heads)
        self.feed_forward = PointerwiseFeedforward(dim, 2 * dim)
        self.sublayer = nn.ModuleList(Sublayer(dim) for _ in range(2))

    def forward(
        self, x: Float[Tensor, "batch tokens dim"], valid: Bool[Tensor, "batch tokens"] | None
    ) -> Float[Tensor, "batch tokens dim"]:
        """Same shape."""
        y = self.sublayer[0](x)
        x = x + self.self_attn(y, y, y, valid)
        return x + self.feed_forward(self.sublayer[1](x))


class DecoderLayer(nn.Module):
    """Attention among the proposals of an agent, attention to a memory, then a feed-forward map.

    As released, only the values of the first attention are normed; its queries and keys are not.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(dim, heads)
        self.src_attn = MultiHeadAttention(dim, heads)
        self.feed_forward = PointerwiseFeedforward(dim, 2 * dim)
        self.sublayer = nn.ModuleList(Sublayer(dim) for _ in range(3))

    def forward(
        self,
        x: Float[Tensor, "batch agents proposals dim"],
        memory: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None,
    ) -> Float[Tensor, "batch agents proposals dim"]:
        """Same shape; all agents of a batch entry see the same memory."""
        own = x.flatten(0, 1)
        x = x + self.self_attn(own, own, self.sublayer[0](own)).unflatten(0, x.shape[:2])
        seen = self.src_attn(self.sublayer[1](x).flatten(1, 2), memory, memory, valid)
        x = x + seen.unflatten(1, x.shape[1:3])
        return x + self.feed_forward(self.sublayer[2](x))


class Encoder(nn.Module):
    """Layers of self-attention with a norm at the end."""

    def __init__(self, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Float[Tensor, "batch tokens dim"], valid: Bool[Tensor, "batch tokens"] | None = None
    ) -> Float[Tensor, "batch tokens dim"]:
        """Same shape."""
        for layer in self.layers:
            x = layer(x, valid)
        return self.norm(x)


class Decoder(nn.Module):
    """Layers in which proposals attend to each other and to a memory, with a norm at the end."""

    def __init__(self, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        x: Float[Tensor, "batch agents proposals dim"],
        memory: Float[Tensor, "batch tokens dim"],
        valid: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch agents proposals dim"]:
        """Same shape."""
        for layer in self.layers:
            x = layer(x, memory, valid)
        return self.norm(x)


class LinearEmbedding(nn.Module):
    """A linear map, scaled by √d as words are in the first transformer."""

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.lut = nn.Linear(features, dim)
        self.scale = math.sqrt(dim)

    def forward(self, x: Float[Tensor, "*n features"]) -> Float[Tensor, "*n dim"]:
        """Embeddings."""
        return self.lut(x) * self.scale


class PositionalEncoding(nn.Module):
    """Adds the sines and cosines of each token's place (Vaswani et al. 2017, §3.5)."""

    pe: Tensor

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
        angle = torch.arange(length).unsqueeze(1) * 10_000 ** (-torch.arange(0, dim, 2) / dim)
        self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1), persistent=False)

    def forward(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Same shape; at most `length` tokens."""
        return x + self.pe[: x.shape[1]]
