"""Statistics over seeds: means with intervals, and cells paired by seed. What table.json holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from perception_tools.analysis.sweep.grid import Cell

LEVEL = 0.95
"""Confidence of all intervals."""

SAME = 1e-9
"""Values whose spread is below this part of the largest are equal but for rounding."""


@dataclass(frozen=True)
class CellResults:
    """What the runs of a cell gave.

    Attributes:
        cell: The cell.
        metrics: Seed → metrics.json, for every finished run.
        missing: Seed → why there is no result.
    """

    cell: Cell
    metrics: Mapping[int, dict]
    missing: Mapping[int, str] = field(default_factory=dict)

    def values(self, metric: str) -> dict[int, float]:
        """One metric by seed, in the order of the seeds; a seed without a finite number is left out."""
        found = {seed: lookup(self.metrics[seed], metric) for seed in sorted(self.metrics)}
        return {seed: value for seed, value in found.items() if value is not None}


def lookup(metrics: Mapping[str, Any], path: str) -> float | None:
    """The number at a path such as `k6/min_fde`; None where there is no finite one."""
    value = _at(metrics, path)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _at(metrics: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """What is at a path; the default where there is no such path."""
    value: Any = metrics
    for name in path.split("/"):
        if not isinstance(value, Mapping) or name not in value:
            return default
        value = value[name]
    return value


def measured(results: Sequence[CellResults], metrics: Mapping[str, str]) -> dict[str, str]:
    """Those of a task's metrics that its evaluations state: questions have no recall. All before the first one."""
    stated = [run for result in results for run in result.metrics.values()]
    absent = object()
    return {
        metric: better
        for metric, better in metrics.items()
        if not stated or any(_at(run, metric, absent) is not absent for run in stated)
    }


def interval_of_mean(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's t interval of a mean; None of fewer than two values, or of values that are all the same."""
    if _are_same(values):
        return None
    low, high = stats.t.interval(LEVEL, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    return float(low), float(high)


def p_value_of_mean(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of the paired t-test; None where differences do not vary, which says nothing of chance."""
    if _are_same(differences):
        return None
    t = np.mean(differences) / stats.sem(differences)
    return float(2 * stats.t.sf(abs(t), len(differences) - 1))


def _are_same(values: Sequence[float]) -> bool:
    return len(values) < 2 or np.ptp(values) <= SAME * np.abs(values).max()


def summarise(values: Mapping[int, float]) -> dict:
    """One metric of one cell over its seeds."""
    numbers = list(values.values())
    return {
        "values": {str(seed): value for seed, value in values.items()},
        "mean": float(np.mean(numbers)) if numbers else None,
        "std": float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        "interval": _as_list(interval_of_mean(numbers)),
    }


def compare(first: CellResults, second: CellResults, metric: str) -> dict:
    """One metric of two cells, paired by the seeds that both have: the first less the second."""
    ours, theirs = first.values(metric), second.values(metric)
    differences = {seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs}
    numbers = list(differences.values())
    return {
        "first": first.cell.name,
        "second": second.cell.name,
        "metric": metric,
        "differences": {str(seed): value for seed, value in differences.items()},
        "mean": float(np.mean(numbers)) if numbers else None,
        "interval": _as_list(interval_of_mean(numbers)),
        "p_value": p_value_of_mean(numbers),
    }


def make_table(results: Sequence[CellResults], metrics: Mapping[str, str], seeds: Sequence[int]) -> dict:
    """The part of table.json that follows from the results.

    Args:
        results: One a cell.
        metrics: Path in metrics.json → `min` or `max`, which is better; those that no evaluation states are left out.
        seeds: Those that every cell was to be trained with.
    """
    metrics = measured(results, metrics)
    cells = [
        {
            "name": result.cell.name,
            "recipe": result.cell.recipe,
            "settings": {name: as_plain(value) for name, value in result.cell.settings.items()},
            "metrics": {metric: summarise(result.values(metric)) for metric in metrics},
            "missing": {str(seed): reason for seed, reason in sorted(result.missing.items())},
        }
        for result in results
    ]
    pairs = list(combinations(results, 2))
    paired = [compare(first, second, metric) for metric in metrics for first, second in pairs]
    return {"metrics": metrics, "cells": cells, "paired": paired, "notes": _notes(results, metrics, seeds)}


def short_names(table: dict) -> dict[str, str]:
    """Name of each cell → what tells it from the others, for people: recipes and fields that are the same are left out.

    Args:
        table: What table.json holds.
    """
    several = len({cell["recipe"] for cell in table["cells"]}) > 1
    varied = [
        field for field in table["over"] if len({str(cell["settings"].get(field)) for cell in table["cells"]}) > 1
    ]
    short = {}
    for cell in table["cells"]:
        settings = [f"{field}={cell['settings'][field]}" for field in varied if field in cell["settings"]]
        recipe = [cell["recipe"].partition("/")[2] or cell["recipe"]] if several or not settings else []
        short[cell["name"]] = ", ".join([*recipe, *settings])
    return short


def as_plain(value: Any) -> Any:
    """A field's value as JSON holds it."""
    return str(value) if isinstance(value, Path) else value


def _notes(results: Sequence[CellResults], metrics: Iterable[str], seeds: Sequence[int]) -> list[str]:
    """What a reader has to know before believing the numbers."""
    if len(seeds) == 1:
        notes = [
            "One seed: there are no intervals, and a claim from one run is worth nothing. Give several: --seeds 0..4."
        ]
    else:
        notes = [
            f"Intervals: {100 * LEVEL:.0f} %, Student's t over the seeds of a cell, {len(seeds)} where none is "
            "missing. They are about training again with another seed on the same data, not about other data. Values "
            "that are the same for all seeds have none."
        ]
        pairs = len(results) * (len(results) - 1) // 2
        if pairs > 1:
            notes.append(
                f"p-values: paired t-test of one pair each, not corrected for {pairs} pairs. Without any effect, one "
                "in twenty lies below 0.05."
            )
    for result in results:
        if result.missing:
            notes.append(
                f"{result.cell.name}: no result of seed {_listed(result.missing)}; pairs are over common seeds."
            )
        for metric in metrics:
            if lacking := result.metrics.keys() - result.values(metric):
                notes.append(f"{result.cell.name}: {metric} of seed {_listed(lacking)} is no finite number; left out.")
    return notes


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def _as_list(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
