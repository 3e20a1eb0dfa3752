"""Differences between two systems that were scored on the same records, with bootstrap intervals.

A system is one model, or a recipe whose trainings with several seeds count as one by their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from perception.metrics.bootstrap import RESAMPLES

_DRAWS_AT_ONCE = 50
"""Number of resamples that are held in memory, with a count for every scene."""


@dataclass(frozen=True)
class PairedDifference:
    """The first system's mean less the second's, over the same records.

    Attributes:
        difference: Difference of the means; of several trainings of a system, their mean counts.
        low: Lower end of the bootstrap interval.
        high: Upper end.
    """

    difference: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the bootstrap interval."""
        return self.low, self.high

    @property
    def told_apart(self) -> bool:
        """Whether the interval excludes zero."""
        return not self.low <= 0 <= self.high


def paired_differences(
    first: Float[np.ndarray, "trainings records metrics"],
    second: Float[np.ndarray, "other_trainings records metrics"],
    seed: int,
    groups: Int[np.ndarray, " records"] | None = None,
    level: float = 0.95,
    same_seeds: bool = False,
) -> list[PairedDifference]:
    """Compares two systems in every metric.

    Two intervals that overlap do not say that two means are equal: both systems find the same scenes hard, so their
    difference varies far less than either mean. Each resample therefore draws scenes, and takes both systems' scores
    of the same scenes. Of a system that was trained several times it also draws as many of these trainings, so that the
    interval covers the choice of the seed as far as a few seeds can tell. With n trainings the variance between them
    comes out too small by (n - 1) / n, so few seeds make it too narrow; with one it covers the choice of the scenes
    alone.

    Args:
        first: Scores of the first system's trainings (with different seeds), one row per record.
        second: The same records' scores by the second system's trainings.
        seed: Seed of the draws.
        groups: Scene of each record; records of a scene are drawn together. Each record is one by itself if not given.
        level: Share of the resamples inside the interval.
        same_seeds: The trainings of both systems have the same seeds in the same order. A resample then draws the same
            seeds for both: what a seed decides for both alike, such as the order of the data, is no difference.

    Returns:
        One difference per metric.
    """
    generator = np.random.default_rng(seed)
    scenes = np.arange(first.shape[1]) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(scenes)
    starts, by_scene = np.cumsum(sizes) - sizes, np.argsort(scenes, kind="stable")
    sums = [np.add.reduceat(system[:, by_scene], starts, axis=1) for system in (first, second)]
    drawn = []
    for start in range(0, RESAMPLES, _DRAWS_AT_ONCE):
        draws = min(_DRAWS_AT_ONCE, RESAMPLES - start)
        counts = generator.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=draws).astype(np.float64)
        records = (counts @ sizes)[:, None]
        trainings = generator.integers(len(first), size=(len(first), draws))
        others = trainings if same_seeds else generator.integers(len(second), size=(len(second), draws))
        means = [counts @ of_scenes / records for of_scenes in sums]
        drawn.append(_mean_of(means[0], trainings) - _mean_of(means[1], others))
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2], axis=0)
    difference = first.mean(axis=(0, 1)) - second.mean(axis=(0, 1))
    return [PairedDifference(*map(float, ends)) for ends in zip(difference, low, high, strict=True)]


def _mean_of(
    means: Float[np.ndarray, "trainings draws metrics"], drawn: Int[np.ndarray, "trainings draws"]
) -> Float[np.ndarray, "draws metrics"]:
    """Means over the drawn trainings, for each draw of scenes."""
    return means[drawn, np.arange(means.shape[1])].mean(axis=0)


def common_records(names: Sequence[Sequence[object]]) -> list[Int[np.ndarray, " common"]]:
    """Rows of the records that all tables hold, in the order of the first table.

    Args:
        names: Names of each table's records, unique within a table.

    Returns:
        For each table, its rows of the common records; the same record in the same place.
    """
    rows = [{name: row for row, name in enumerate(table)} for table in names]
    common = [name for name in rows[0] if all(name in other for other in rows[1:])]
    return [np.array([table[name] for name in common], dtype=np.int64) for table in rows]
