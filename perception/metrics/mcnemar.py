"""Whether two systems that answered the same questions can be told apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Bool


@dataclass(frozen=True)
class PairedHits:
    """How two systems did on the same questions.

    Attributes:
        both: Questions that both answered rightly.
        first_only: Only the first did.
        second_only: Only the second did.
        neither: Neither did.
    """

    both: int
    first_only: int
    second_only: int
    neither: int

    @classmethod
    def count(cls, first: Bool[np.ndarray, " questions"], second: Bool[np.ndarray, " questions"]) -> PairedHits:
        """From what each got right, in the same order."""
        return cls(
            both=int((first & second).sum()),
            first_only=int((first & ~second).sum()),
            second_only=int((~first & second).sum()),
            neither=int((~first & ~second).sum()),
        )

    @property
    def p_value(self) -> float:
        """McNemar's exact two-sided test, without the mid-p correction.

        The chance that equally good systems disagree at least so unevenly: each question that only one of them
        answers is a toss of a fair coin. It speaks of these questions and these two trainings; other seeds differ by
        more.
        """
        tosses = self.first_only + self.second_only
        tail = sum(comb(tosses, hits) for hits in range(min(self.first_only, self.second_only) + 1))
        return min(1.0, 2 * tail / 2**tosses)
