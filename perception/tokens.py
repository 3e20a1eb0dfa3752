"""The output of an encoder (`Tokens`) and the rows that a head needs (`Readout`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """A padded batch of token sets.

    Attributes:
        values: One row per token. Padding rows may hold any finite values.
        valid: False for padding.
    """

    values: Float[Tensor, "batch tokens dim"]
    valid: Bool[Tensor, "batch tokens"]

    def replace(self, values: Float[Tensor, "batch tokens other_dim"]) -> Tokens:
        """Returns the same token sets with new values."""
        return Tokens(values, self.valid)


@dataclass(frozen=True)
class Readout:
    """The token rows that a head reads; other rows need not be computed.

    Attributes:
        rows: Indices into the tokens axis for each batch entry, in any order; they may repeat. None reads all rows.
        valid: False for padding. None means that all rows are valid.
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
        """Selects the rows that are read from all token values."""
        if self.rows is None:
            return values
        return values.gather(1, self.rows.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
