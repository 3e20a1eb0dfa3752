"""Which forecaster is better: systems, each trained with one seed or several, compared on the same agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool

from perception.metrics.forecasting import METRICS, ScoredAgents
from perception.metrics.paired import PairedDifference, common_records, paired_differences

LEVEL = 0.95
SEED = 0
"""Seed of the resamples."""


@dataclass(frozen=True)
class System:
    """Models that differ in nothing but the seed of their training.

    Attributes:
        name: Name for sentences and tables.
        models: Name of each model, as in `metrics.json`.
        seeds: Seed of each training; None for a model that was not trained.
        scores: Scores of each model.
    """

    name: str
    models: tuple[str, ...]
    seeds: tuple[int | None, ...]
    scores: tuple[ScoredAgents, ...]

    def as_json(self) -> dict:
        """Returns an entry of `systems` in `metrics.json`: means over the models, for focal agents."""
        means = {
            k: np.mean([getattr(scores, k)[scores.focal].mean(axis=0) for scores in self.scores], axis=0)
            for k in ("k6", "k1")
        }
        scored = {k: dict(zip(METRICS, values.tolist(), strict=True)) for k, values in means.items()}
        return {"models": list(self.models), "seeds": list(self.seeds), **scored}


@dataclass(frozen=True)
class Comparison:
    """The first system's scores less the second's; less is better in every metric.

    Attributes:
        first: Name of the first system.
        second: Name of the second system.
        trainings: How often each was trained.
        same_seeds: Whether these trainings have the same seeds, and are paired too.
        scenarios: Number of scenarios that both were scored on.
        left_out: Number of scored agents that not all models have in common; no difference counts them.
        focal: Differences for focal agents, by `k6` and `k1`, then by metric.
        all_agents: Differences for all scored agents.
    """

    first: str
    second: str
    trainings: tuple[int, int]
    same_seeds: bool
    scenarios: int
    left_out: int
    focal: dict[str, dict[str, PairedDifference]]
    all_agents: dict[str, dict[str, PairedDifference]]

    def as_json(self) -> dict:
        """Returns an entry of `paired` in `metrics.json`."""
        names = ("first", "second", "trainings", "same_seeds", "scenarios", "left_out")
        numbers = {
            k: _as_json(differences) | {"all_agents": _as_json(self.all_agents[k])}
            for k, differences in self.focal.items()
        }
        return {name: getattr(self, name) for name in names} | {"level": LEVEL, "seed": SEED} | numbers

    def verdict(self) -> str:
        """Says in a sentence what is shown for the minFDE of six modes."""
        found = self.focal["k6"]["min_fde"]
        words = "no difference shown" if not found.told_apart else "better" if found.difference < 0 else "worse"
        ours, theirs = self.trainings
        trained = f", {ours} seeds" if self.same_seeds else f", {ours} and {theirs} trainings"
        return (
            f"{self.first} against {self.second}: {found.difference:+.3f} m minFDE of six modes "
            f"[{found.low:+.3f}, {found.high:+.3f}], {words} (paired over {self.scenarios:,} scenarios"
            + (f"{trained})." if max(self.trainings) > 1 else ").")
        )


def compare_all(systems: Sequence[System]) -> list[Comparison]:
    """Compares each system with every later one."""
    return [compare(first, second) for first, second in combinations(systems, 2)]


def compare(first: System, second: System) -> Comparison:
    """Compares two systems on the agents that all of their models were scored on."""
    tables = [*first.scores, *second.scores]
    rows = common_records([list(zip(table.scenarios, table.agents.tolist(), strict=True)) for table in tables])
    scenes = np.array(tables[0].scenarios)[rows[0]]
    groups = np.unique(scenes, return_inverse=True)[1]
    focal = tables[0].focal[rows[0]]
    count, same_seeds = len(first.scores), first.seeds == second.seeds

    def differences(chosen: Bool[np.ndarray, " records"]) -> dict[str, dict[str, PairedDifference]]:
        scores = [
            np.concatenate([table.k6[of_table[chosen]], table.k1[of_table[chosen]]], axis=1)
            for table, of_table in zip(tables, rows, strict=True)
        ]
        found = paired_differences(
            np.stack(scores[:count]), np.stack(scores[count:]), SEED, groups[chosen], LEVEL, same_seeds
        )
        return {
            "k6": dict(zip(METRICS, found[: len(METRICS)], strict=True)),
            "k1": dict(zip(METRICS, found[len(METRICS) :], strict=True)),
        }

    return Comparison(
        first.name,
        second.name,
        (count, len(second.scores)),
        same_seeds,
        len(np.unique(scenes)),
        max(map(len, tables)) - len(focal),
        differences(focal),
        differences(np.ones_like(focal)),
    )


def _as_json(differences: dict[str, PairedDifference]) -> dict:
    return {
        metric: {"difference": found.difference, "interval": list(found.interval), "shown": found.told_apart}
        for metric, found in differences.items()
    }
