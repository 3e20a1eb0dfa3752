"""Classes from the tokens of a picture."""

from __future__ import annotations

from typing import Literal

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
