"""Classes from tokens."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from perception.frozen.block import EVERY_ROW
from perception.tokens import Readout, Tokens

Pooling = Literal["cls", "mean"]
"""`cls` reads the class token alone; `mean` averages the tokens of all patches and leaves the class token out."""


class ClassificationHead(nn.Module):
    """A linear layer over one vector of each picture.

    Args:
        dim: Width of the tokens.
        classes: Number of classes.
        pooling: What the vector is.
    """

    def __init__(self, dim: int, classes: int, pooling: Pooling = "cls") -> None:
        super().__init__()
        self.pooling: Pooling = pooling
        self.fc = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.fc.weight, std=0.02)
        nn.init.zeros_(self.fc.bias)

    def readout(self, tokens: Tokens) -> Readout:
        """The rows that are read."""
        return Readout.first(tokens) if self.pooling == "cls" else EVERY_ROW

    def forward(self, rows: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch classes"]:
        """Returns a logit for each class, from the rows that `readout` names."""
        return self.fc(rows[:, 0] if self.pooling == "cls" else rows[:, 1:].mean(1))


class ClsMaxHead(nn.Module):
    """Two layers over the class token and the largest value of each feature among the other tokens.

    This is the head of Point-BERT (https://arxiv.org/abs/2111.14819); its layers are numbered as in the published code.
    That code gives every data set the 40 classes of ModelNet40, so that 25 of ScanObjectNN's are never used.

    Args:
        dim: Width of the tokens.
        classes: Number of classes.
        hidden: Width between the layers.
        dropout: Probability that a feature between them is dropped in training.
    """

    def __init__(self, dim: int, classes: int, hidden: int = 256, dropout: float = 0.5) -> None:
        super().__init__()
        layers = (nn.Linear(2 * dim, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes))
        self.mlp = nn.Sequential(*layers)

    def readout(self, _tokens: Tokens) -> Readout:
        """All rows are read."""
        return EVERY_ROW

    def forward(self, rows: Float[Tensor, "batch rows dim"]) -> Float[Tensor, "batch classes"]:
        """Returns a logit for each class."""
        return self.mlp(torch.cat([rows[:, 0], rows[:, 1:].amax(1)], -1))
