"""Actions from the tokens of a clip."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from perception.frozen.block import EVERY_ROW
from perception.tokens import Readout, Tokens


class ActionHead(nn.Module):
    """VideoMAE's head: the mean of all tokens, a norm and a linear layer.

    Args:
        dim: Width of the tokens.
        classes: Number of actions.
        eps: Epsilon of the norm; Hugging Face's has 1e-5.
        init_scale: Factor of the linear layer's initial weights; small, so that training starts with even logits.
    """

    def __init__(self, dim: int, classes: int, *, eps: float = 1e-6, init_scale: float = 0.001) -> None:
        super().__init__()
        self.fc_norm = nn.LayerNorm(dim, eps)
        self.fc = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)
        with torch.no_grad():
            self.fc.weight.mul_(init_scale)

    def readout(self, _tokens: Tokens) -> Readout:
        """The rows that are read: all."""
        return EVERY_ROW

    def forward(self, rows: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch classes"]:
        """Returns a logit for each action."""
        return self.fc(self.fc_norm(rows.mean(1)))
