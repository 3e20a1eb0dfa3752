"""What an encoder gives (`Tokens`) and what a head asks for (`Readout`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """A padded batch of token sets.

    Attributes:
        values: One row a token. Rows that are not valid hold anything finite.
        valid: True where a token is real, False where it pads.
    """

    values: Float[Tensor, "batch tokens dim"]
    valid: Bool[Tensor, "batch tokens"]

    def replace(self, values: Float[Tensor, "batch tokens other_dim"]) -> Tokens:
        """The same token sets with other values."""
        return Tokens(values, self.valid)


@dataclass(frozen=True)
class Readout:
    """Which token rows a head reads: every row that it does not read need not be computed.

    Attributes:
        rows: Row indices into the tokens axis, different for each batch entry; they may repeat and need no order.
            None reads all rows.
        valid: False where an index only pads a shorter list. None means that all are valid.
    """

    rows: Int[Tensor, "batch rows"] | None = None
    valid: Bool[Tensor, "batch rows"] | None = None

    def __post_init__(self) -> None:
        if self.rows is None and self.valid is not None:
            raise ValueError("Readout: `valid` marks padding in `rows`; expected rows beside it, got rows=None")

    @classmethod
    def first(cls, tokens: Tokens) -> Readout:
        """Reads row 0 of every batch entry: a CLS token, or a scene's target agent."""
        return cls(torch.zeros(tokens.values.shape[0], 1, dtype=torch.long, device=tokens.values.device))

    def gather(self, values: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch rows dim"]:
        """The rows that are read, taken from a full set of token values."""
        if self.rows is None:
            return values
        return values.gather(1, self.rows.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
