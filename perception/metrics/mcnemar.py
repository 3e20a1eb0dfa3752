"""McNemar's test of two systems that answered the same questions."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Bool, Int

from perception.metrics.bootstrap import bootstrap_interval


@dataclass(frozen=True)
class PairedHits:
    """Counts of right answers of two systems to the same questions.

    Attributes:
        both: Number of questions that both answered correctly.
        first_only: Number that only the first answered correctly.
        second_only: Number that only the second answered correctly.
        neither: Number that neither answered correctly.
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
        """Counts the hits of two systems on the same questions, given the scene of each question."""
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
        """Accuracy of the first system minus that of the second."""
        questions = self.both + self.first_only + self.second_only + self.neither
        return (self.first_only - self.second_only) / questions

    @property
    def p_value(self) -> float:
        """P-value of McNemar's exact two-sided test, without the mid-p correction.

        It is the probability that equally good systems disagree at least this unevenly, when each question that only
        one of them answers is a fair coin toss. The test treats questions as independent, which questions about one
        scene are not quite.
        """
        tosses = self.first_only + self.second_only
        tail = sum(comb(tosses, hits) for hits in range(min(self.first_only, self.second_only) + 1))
        return min(1.0, 2 * tail / 2**tosses)

    @property
    def told_apart(self) -> bool:
        """Whether both the test and the interval over scenes show a difference between the systems at the 5 % level.

        Trainings with other seeds may differ by more.
        """
        low, high = self.interval
        return self.p_value < 0.05 and not low <= 0 <= high
