"""Systems side by side on the same records: differences, intervals over pictures, McNemar's test, means of seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from perception.metrics.mcnemar import PairedHits
from perception.metrics.paired import paired_differences
from perception_tools.report.side_by_side import TrainedSystem

SEED = 0
_FULL = 1 - 1e-9


@dataclass(frozen=True)
class PerRecord:
    """What one system earned for each record by one metric.

    Attributes:
        values: From 0 to 1.
        pictures: Number of each record's picture; records of one are drawn together.
    """

    values: Float[np.ndarray, " records"]
    pictures: Int[np.ndarray, " records"]

    @property
    def mean(self) -> float:
        """Mean over the records."""
        return float(self.values.mean())


Scores = Mapping[str, PerRecord]
"""Name of a metric → the records that it is over."""


def compare(first: Scores, second: Scores) -> dict[str, dict]:
    """Compares two systems on the same records by each metric that both have.

    McNemar's test counts a record as a hit where it earned everything; an answer that some annotators gave is none.
    """
    found = {}
    for name in (name for name in first if name in second):
        ours, theirs = first[name], second[name]
        (of,) = paired_differences(ours.values[None, :, None], theirs.values[None, :, None], SEED, ours.pictures)
        hits = PairedHits.count(ours.values >= _FULL, theirs.values >= _FULL, ours.pictures, SEED)
        found[name] = {
            "difference": of.difference,
            "interval": list(of.interval),
            "first_only": hits.first_only,
            "second_only": hits.second_only,
            "p_value": hits.p_value,
            "told_apart": of.told_apart,
        }
    return found


def compare_seeds(scores: Sequence[Scores], systems: Sequence[TrainedSystem]) -> list[dict]:
    """Means of each system over its seeds, and the first system's difference to it.

    Args:
        scores: Of every run.
        systems: Which runs differ in their seed alone.
    """
    first, tables = systems[0], []
    for system in systems:
        own = [scores[number] for number in system.members]
        names = [name for name in own[0] if name in scores[first.members[0]]]
        table: dict = {
            "name": system.name,
            "seeds": list(system.seeds),
            "mean": {name: float(np.mean([of[name].mean for of in own])) for name in names},
            "values": {name: [of[name].mean for of in own] for name in names},
        }
        if system is not first:
            table["first_against_this"] = {name: _difference(scores, first, system, name) for name in names}
        tables.append(table)
    return tables


def _difference(scores: Sequence[Scores], first: TrainedSystem, second: TrainedSystem, name: str) -> dict:
    ours, theirs = (np.stack([scores[i][name].values for i in of.members])[..., None] for of in (first, second))
    pictures = scores[first.members[0]][name].pictures
    (of,) = paired_differences(ours, theirs, SEED, pictures, same_seeds=first.seeds == second.seeds)
    return {"difference": of.difference, "interval": list(of.interval), "told_apart": of.told_apart}
