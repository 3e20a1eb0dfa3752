"""METER's co-attention: two streams that read each other, layer by layer (https://arxiv.org/abs/2111.02387, §3.2).

Each layer attends to its own stream, then to the other stream's state before that layer, so both are updated at once.
Post-norm, as in BERT. Parameter names are those of METER's `BertCrossLayer`. Every attention has a mask: transformers'
layers of the same shape turn causal without one.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from perception.tokens import Readout, Tokens

_EPS = 1e-12
"""Epsilon of METER's norms."""
_EVERY_ROW = Readout()


class _Projections(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))


class _AddAndNorm(nn.Module):
    """A linear layer, dropout, the residual connection and the norm after it."""

    def __init__(self, in_dim: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(in_dim, dim)
        self.LayerNorm = nn.LayerNorm(dim, _EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, added: Float[Tensor, "batch rows in_dim"], x: Float[Tensor, "batch rows dim"]
    ) -> Float[Tensor, "batch rows dim"]:
        return self.LayerNorm(x + self.dropout(self.dense(added)))


class _Hidden(nn.Module):
    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, hidden_dim)

    def forward(self, x: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch rows hidden_dim"]:
        return F.gelu(self.dense(x))


class BertAttention(nn.Module):
    """Attention of rows to the valid tokens of a stream, with the residual connection and norm after it.

    Args:
        dim: Width of both.
        heads: Number of heads; divides `dim`.
        dropout: Dropout of attention weights and of the output.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"BertAttention: expected heads that divide dim={dim}, got heads={heads}")
        self.heads, self.dropout = heads, dropout
        self.self = _Projections(dim)
        self.output = _AddAndNorm(dim, dim, dropout)

    def forward(self, x: Float[Tensor, "batch rows dim"], read: Tokens) -> Float[Tensor, "batch rows dim"]:
        """Returns the rows' new values. Each batch entry of what is read needs at least one valid token."""
        query = self._heads(self.self.query(x))
        key, value = self._heads(self.self.key(read.values)), self._heads(self.self.value(read.values))
        dropout = self.dropout if self.training else 0.0
        gathered = F.scaled_dot_product_attention(query, key, value, read.valid[:, None, None], dropout)
        return self.output(gathered.transpose(1, 2).flatten(2), x)

    def _heads(self, x: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch heads rows head_dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class CoAttentionLayer(nn.Module):
    """One layer of one stream.

    Args:
        dim: Width of the tokens.
        heads: Number of heads; divides `dim`.
        dropout: Dropout of attention weights and of what each part adds.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = BertAttention(dim, heads, dropout)
        self.crossattention = BertAttention(dim, heads, dropout)
        self.intermediate = _Hidden(dim, 4 * dim)
        self.output = _AddAndNorm(4 * dim, dim, dropout)

    def forward(self, own: Tokens, other: Tokens, readout: Readout = _EVERY_ROW) -> Float[Tensor, "batch rows dim"]:
        """Returns the new values of the rows that are read; other rows are not computed."""
        x = self.attention(readout.gather(own.values), own)
        x = self.crossattention(x, other)
        return self.output(self.intermediate(x), x)


class CoAttention(nn.Module):
    """Stacks of layers for both streams.

    Args:
        dim: Width of the tokens.
        heads: Number of heads; divides `dim`.
        layers: Number of layers of each stream; at least 1.
        dropout: Dropout in every layer.
    """

    def __init__(self, dim: int = 768, heads: int = 12, layers: int = 6, dropout: float = 0.1) -> None:
        super().__init__()
        self.image_layers = nn.ModuleList(CoAttentionLayer(dim, heads, dropout) for _ in range(layers))
        self.text_layers = nn.ModuleList(CoAttentionLayer(dim, heads, dropout) for _ in range(layers))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(
        self, image: Tokens, text: Tokens, *, text_readout: Readout = _EVERY_ROW
    ) -> tuple[Tokens, Float[Tensor, "batch rows dim"]]:
        """Fuses two streams.

        Args:
            image: The picture's tokens.
            text: The text's tokens; padding is not read.
            text_readout: Rows of the text that are read after the last layer.

        Returns:
            The picture's tokens, and the rows of the text that are read.
        """
        *early, (last_image, last_text) = zip(self.image_layers, self.text_layers, strict=True)
        for image_layer, text_layer in early:
            image, text = image.replace(image_layer(image, text)), text.replace(text_layer(text, image))
        return image.replace(last_image(image, text)), last_text(text, image, text_readout)
