"""How far a mean could have come out differently on other scenes of the same kind."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

RESAMPLES = 1000
"""Enough for the second digit of a 95 % interval."""


def bootstrap_interval(
    rows: Float[np.ndarray, "rows metrics"], seed: int, level: float = 0.95
) -> tuple[Float[np.ndarray, " metrics"], Float[np.ndarray, " metrics"]]:
    """Percentile-bootstrap interval (low, high) of each column's mean, rows drawn with replacement.

    It speaks of the choice of scenes only: two trainings with other seeds may differ by more.
    """
    generator = np.random.default_rng(seed)
    means = np.stack([rows[generator.integers(len(rows), size=len(rows))].mean(axis=0) for _ in range(RESAMPLES)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
