"""Whether two systems that answered the same questions can be told apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Bool, Int

from perception.metrics.bootstrap import bootstrap_interval


@dataclass(frozen=True)
class PairedHits:
    """How two systems did on the same questions.

    Attributes:
        both: Questions that both answered rightly.
        first_only: Only the first did.
        second_only: Only the second did.
        neither: Neither did.
        interval: 95 % bootstrap interval of `difference` over scenes.
    """

    both: int
    first_only: int
    second_only: int
    neither: int
    interval: tuple[float, float]

    @classmethod
    def count(
        cls,
        first: Bool[np.ndarray, " questions"],
        second: Bool[np.ndarray, " questions"],
        scenes: Int[np.ndarray, " questions"],
        seed: int = 0,
    ) -> PairedHits:
        """From what each got right, in the same order, and the scene of every question."""
        difference = (first.astype(np.float64) - second)[:, None]
        low, high = bootstrap_interval(difference, seed, groups=scenes)
        return cls(
            both=int((first & second).sum()),
            first_only=int((first & ~second).sum()),
            second_only=int((~first & second).sum()),
            neither=int((~first & ~second).sum()),
            interval=(float(low[0]), float(high[0])),
        )

    @property
    def difference(self) -> float:
        """Share of rightly answered questions, the first system's less the second's."""
        questions = self.both + self.first_only + self.second_only + self.neither
        return (self.first_only - self.second_only) / questions

    @property
    def p_value(self) -> float:
        """McNemar's exact two-sided test, without the mid-p correction.

        The chance that equally good systems disagree at least so unevenly: each question that only one of them
        answers is a toss of a fair coin. It takes questions for independent, which those of one scene are not quite.
        """
        tosses = self.first_only + self.second_only
        tail = sum(comb(tosses, hits) for hits in range(min(self.first_only, self.second_only) + 1))
        return min(1.0, 2 * tail / 2**tosses)

    @property
    def told_apart(self) -> bool:
        """Whether these questions tell the two trainings apart, at 5 %, by the test and by the interval over scenes.

        Other seeds of the same recipes may still differ by more.
        """
        low, high = self.interval
        return self.p_value < 0.05 and not low <= 0 <= high
