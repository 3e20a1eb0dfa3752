"""Comparison of two recipes by the mean over their training seeds, with an interval over seeds and scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from perception.metrics.bootstrap import RESAMPLES


@dataclass(frozen=True)
class SeedComparison:
    """Difference of two recipes' mean scores.

    Attributes:
        difference: Mean over the seeds and questions of the first recipe minus that of the second.
        interval: 95 % interval of a two-level bootstrap: seeds of either recipe are drawn with replacement, and
            scenes, the same for both. With n seeds the variance between them comes out too small by (n - 1) / n, and
            the only seed of a recipe is drawn every time, so few seeds make the interval too narrow.
    """

    difference: float
    interval: tuple[float, float]

    @property
    def told_apart(self) -> bool:
        """Whether the interval excludes zero."""
        low, high = self.interval
        return not low <= 0 <= high


def compare_seeds(
    first: Float[np.ndarray, "first_seeds questions metrics"],
    second: Float[np.ndarray, "second_seeds questions metrics"],
    scenes: Int[np.ndarray, " questions"],
    seed: int = 0,
) -> tuple[SeedComparison, ...]:
    """Compares two recipes on the same questions, metric by metric.

    Args:
        first: Scores of each run of the first recipe.
        second: Those of the second.
        scenes: Scene of each question, from 0 without gaps.
        seed: Seed of the bootstrap.
    """
    generator = np.random.default_rng(seed)
    sizes = np.bincount(scenes)
    member = (np.arange(len(sizes))[:, None] == scenes).astype(np.float64)
    drawn = _counts(generator, len(sizes))
    totals = drawn @ sizes
    means = []
    for scores in (first, second):
        sums = np.einsum("cq,sqm->scm", member, scores)
        seeds = _counts(generator, len(scores)) / len(scores)
        means.append(np.einsum("rs,rc,scm->rm", seeds, drawn, sums) / totals[:, None])
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975], axis=0)
    differences = first.mean(axis=(0, 1)) - second.mean(axis=(0, 1))
    return tuple(
        SeedComparison(float(difference), (float(a), float(b)))
        for difference, a, b in zip(differences, low, high, strict=True)
    )


def _counts(generator: np.random.Generator, items: int) -> Float64[np.ndarray, "resamples items"]:
    """Draws with replacement: how often each item comes in each resample."""
    return generator.multinomial(items, np.full(items, 1 / items), size=RESAMPLES).astype(np.float64)
