"""METER's co-attention: two streams that read each other, layer by layer (https://arxiv.org/abs/2111.02387, §3.2).

Each layer attends to its own stream, then to the other stream's state before that layer, so both are updated at once.
Post-norm, as in BERT. Parameter names are those of METER's `BertCrossLayer`. Every attention has a mask: transformers'
layers of the same shape turn causal without one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

import torch.nn.functional as F
from jaxtyping import Bool, Float
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
        return self.attend(x, self.queries(x), *self.keys_and_values(read.values), read.valid)

    def queries(self, x: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch heads rows head_dim"]:
        """What the rows look for."""
        return self._heads(self.self.query(x))

    def keys_and_values(
        self, read: Float[Tensor, "batch tokens dim"]
    ) -> tuple[Float[Tensor, "batch heads tokens head_dim"], Float[Tensor, "batch heads tokens head_dim"]]:
        """What the tokens are found by, and what they give."""
        return self._heads(self.self.key(read)), self._heads(self.self.value(read))

    def attend(
        self,
        x: Float[Tensor, "batch rows dim"],
        query: Float[Tensor, "batch heads rows head_dim"],
        key: Float[Tensor, "batch heads tokens head_dim"],
        value: Float[Tensor, "batch heads tokens head_dim"],
        valid: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch rows dim"]:
        """Returns the rows' new values, given their queries and the keys and values of the tokens."""
        dropout = self.dropout if self.training else 0.0
        gathered = F.scaled_dot_product_attention(query, key, value, valid[:, None, None], dropout)
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
        return self.feed_forward(self.crossattention(x, other))

    def feed_forward(self, x: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch rows dim"]:
        """The last part, row by row."""
        return self.output(self.intermediate(x), x)


@dataclass(frozen=True)
class StartedImage:
    """What the first layers compute of a picture alone, once for any number of texts.

    Attributes:
        valid: Validity of its tokens.
        attended: Its tokens after their attention to each other.
        query: Their queries to the text.
        key: Keys of its tokens, for the text's first layer.
        value: Values of its tokens, for the text's first layer.
    """

    valid: Bool[Tensor, "batch tokens"]
    attended: Float[Tensor, "batch tokens dim"]
    query: Float[Tensor, "batch heads tokens head_dim"]
    key: Float[Tensor, "batch heads tokens head_dim"]
    value: Float[Tensor, "batch heads tokens head_dim"]

    def expand(self, batch: int) -> StartedImage:
        """Returns one picture for `batch` texts; no memory is copied."""
        parts = (getattr(self, part.name) for part in fields(self))
        return StartedImage(*(part.expand(batch, *part.shape[1:]) for part in parts))


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
        return self.join(self.start(image), text, text_readout=text_readout)

    @property
    def layers(self) -> list[tuple[CoAttentionLayer, CoAttentionLayer]]:
        """The picture's and the text's layers, in pairs."""
        pairs = zip(self.image_layers, self.text_layers, strict=True)
        return cast("list[tuple[CoAttentionLayer, CoAttentionLayer]]", list(pairs))

    def start(self, image: Tokens) -> StartedImage:
        """What a picture needs no text for."""
        ours, theirs = self.layers[0]
        attended = ours.attention(image.values, image)
        key, value = theirs.crossattention.keys_and_values(image.values)
        return StartedImage(image.valid, attended, ours.crossattention.queries(attended), key, value)

    def join(
        self, image: StartedImage, text: Tokens, *, text_readout: Readout = _EVERY_ROW
    ) -> tuple[Tokens, Float[Tensor, "batch rows dim"]]:
        """As `forward`, from where `start` stopped."""
        (image_layer, text_layer), *later = self.layers
        readout = _EVERY_ROW if later else text_readout
        cross = image_layer.crossattention
        seen = cross.attend(image.attended, image.query, *cross.keys_and_values(text.values), text.valid)
        seen = Tokens(image_layer.feed_forward(seen), image.valid)
        rows = text_layer.attention(readout.gather(text.values), text)
        cross = text_layer.crossattention
        rows = text_layer.feed_forward(cross.attend(rows, cross.queries(rows), image.key, image.value, image.valid))
        for at, (image_layer, text_layer) in enumerate(later, start=1):
            words = text.replace(rows)
            readout = text_readout if at == len(later) else _EVERY_ROW
            seen, rows = seen.replace(image_layer(seen, words)), text_layer(words, seen, readout)
        return seen, rows
