"""How far a mean could have come out differently on other scenes of the same kind."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

RESAMPLES = 1000
"""Enough for the second digit of a 95 % interval."""


def bootstrap_interval(
    rows: Float[np.ndarray, "rows metrics"],
    seed: int,
    level: float = 0.95,
    groups: Int[np.ndarray, " rows"] | None = None,
) -> tuple[Float[np.ndarray, " metrics"], Float[np.ndarray, " metrics"]]:
    """Percentile-bootstrap interval (low, high) of each column's mean, rows drawn with replacement.

    It speaks of the choice of scenes only: two trainings with other seeds may differ by more.

    Args:
        rows: One a scene or question.
        seed: Of the draws.
        level: Share of the draws that the interval holds.
        groups: Which group (such as the scene of a question) each row belongs to. Whole groups are drawn then, as rows
            of one group are alike: on SQA3D's test split this widens the interval of a majority answer by a third.
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
