"""Heads over a fused picture and text, as in METER: poolers, whether both match, and how well they match."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Pooler(nn.Module):
    """BERT's pooler: a linear layer and tanh over the first row of a stream."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, dim)
        _initialise(self)

    def forward(self, row: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Returns the pooled row."""
        return torch.tanh(self.dense(row))


class MatchHead(nn.Module):
    """Logits of "does not match" and "matches" (METER's ITM head)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, 2)
        _initialise(self)

    def forward(self, pooled: Float[Tensor, "batch features"]) -> Float[Tensor, "batch 2"]:
        """Returns both logits."""
        return self.fc(pooled)

    def as_rank(self) -> nn.Linear:
        """A head for ranking that starts from the row of "matches", as METER's `rank_output` does."""
        rank = nn.Linear(self.fc.in_features, 1)
        with torch.no_grad():
            rank.weight.copy_(self.fc.weight[1:])
            rank.bias.copy_(self.fc.bias[1:])
        return rank


class PairAnswerHead(nn.Sequential):
    """METER's VQA head: a logit of every answer from the pooled pair.

    Args:
        features: Width of the pooled pair, and of the hidden layer.
        answers: Number of answers.
    """

    def __init__(self, features: int, answers: int) -> None:
        super().__init__(nn.Linear(features, features), nn.LayerNorm(features), nn.GELU(), nn.Linear(features, answers))
        _initialise(self)


def _initialise(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
