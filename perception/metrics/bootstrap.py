"""Bootstrap intervals of means over scenes or questions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

RESAMPLES = 1000
"""Number of resamples; enough for the second digit of a 95 % interval."""


def bootstrap_interval(
    rows: Float[np.ndarray, "rows metrics"],
    seed: int,
    level: float = 0.95,
    groups: Int[np.ndarray, " rows"] | None = None,
) -> tuple[Float[np.ndarray, " metrics"], Float[np.ndarray, " metrics"]]:
    """Computes the percentile-bootstrap interval (low, high) of each column's mean, drawing rows with replacement.

    It covers the choice of scenes only; trainings with different seeds may differ by more.

    Args:
        rows: One row per scene or question.
        seed: Seed of the draws.
        level: Share of the draws inside the interval.
        groups: Group of each row, such as the scene of a question. If given, whole groups are drawn, because rows of
            one group are correlated: on SQA3D's test split this widens the interval of a majority answer by a third.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        draws = (generator.integers(len(rows), size=len(rows)) for _ in range(RESAMPLES))
        means = np.stack([rows[drawn].mean(axis=0) for drawn in draws])
    else:
        sizes = np.unique(groups, return_counts=True)[1]
        sums = np.add.reduceat(rows[np.argsort(groups, kind="stable")], np.cumsum(sizes) - sizes)
        drawn = generator.integers(len(sizes), size=(RESAMPLES, len(sizes)))
        means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)[:, None]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
