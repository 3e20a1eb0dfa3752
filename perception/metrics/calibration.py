"""Whether probabilities mean what they say: of all modes that were given 0.3, three in ten are the nearest."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

BINS = 10
"""Number of bins of equal width."""


@dataclass
class Calibration:
    """Counts of probabilities and of what came of them; as large after millions of forecasts as before the first.

    Attributes:
        counts: For each bin, the number of probabilities in it, their sum, and how many of them came true.
    """

    counts: Float[np.ndarray, "bins 3"] = field(default_factory=lambda: np.zeros((BINS, 3)))

    def add(self, probabilities: Float[np.ndarray, "agents modes"], winners: Int[np.ndarray, " agents"]) -> None:
        """Adds forecasts.

        Args:
            probabilities: Probability of each mode of an agent.
            winners: The mode that came true.
        """
        came_true = np.arange(probabilities.shape[1]) == winners[:, None]
        bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
        columns = np.stack([np.ones_like(probabilities), probabilities, came_true], axis=-1)
        np.add.at(self.counts, bins, columns)

    @property
    def error(self) -> float:
        """Expected calibration error: mean, over all probabilities, of how far their bin is from what came true."""
        number, total, came_true = self.counts.T
        return float(np.abs(total - came_true).sum() / max(number.sum(), 1))

    def as_json(self) -> dict:
        """The error, and for every bin with something in it the mean probability and the share that came true."""
        filled = self.counts[self.counts[:, 0] > 0]
        return {
            "expected_calibration_error": self.error,
            "bins": [
                {"modes": int(number), "probability": float(total / number), "nearest": float(true / number)}
                for number, total, true in filled
            ],
        }
