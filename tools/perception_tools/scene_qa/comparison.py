"""Comparisons of systems that answered the same questions: a paired test for every score, and means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from perception.metrics.localization import localization_hits
from perception.metrics.mcnemar import PairedHits
from perception.metrics.paired import PairedDifference, paired_differences
from perception.metrics.question_answering import HEADLINE, METRICS, AnswerTable
from perception_tools.scene_qa.report.evaluation import SystemEvaluation

Paired = Mapping[str, PairedHits]
"""Score → counts of the questions that two systems answered correctly by it."""


def compare_tables(first: AnswerTable, second: AnswerTable) -> dict[str, PairedHits]:
    """Compares two tables of the same questions by every score, and by whole groups of questions.

    A score over groups is called by the grouping and the score: `situation_em1`.
    """
    scores = HEADLINE if first.in_vocabulary is None else METRICS
    found = {name: PairedHits.count(first.column(name) == 1, second.column(name) == 1, first.scenes) for name in scores}
    for grouping in first.groups:
        (ours, scenes), (theirs, _) = first.groups_right(grouping), second.groups_right(grouping)
        for index, name in enumerate(HEADLINE):
            found[f"{grouping}_{name}"] = PairedHits.count(ours[:, index], theirs[:, index], scenes)
    return found


def compare_systems(first: SystemEvaluation, second: SystemEvaluation) -> dict[str, PairedHits]:
    """Compares two systems by every score, and by every localisation accuracy if both say where the asker stands."""
    found = compare_tables(first.table, second.table)
    if first.places is not None and second.places is not None:
        known = [row for row, question in enumerate(first.table.questions) if question.viewpoint is not None]
        ours, theirs = (localization_hits(s.places.distance_m, s.places.angle_rad) for s in (first, second) if s.places)
        scenes = first.table.scenes[known]
        found |= {name: PairedHits.count(ours[name], theirs[name], scenes) for name in ours}
    return found


def paired_json(paired: Paired) -> dict[str, dict]:
    """Returns what `metrics.json` says of a comparison, by score."""
    return {
        name: asdict(hits)
        | {"difference": hits.difference, "interval": list(hits.interval), "p_value": hits.p_value}
        | {"told_apart": hits.told_apart}
        for name, hits in paired.items()
    }


@dataclass(frozen=True)
class RecipeScores:
    """Scores of all runs of one recipe.

    Attributes:
        recipe: Its name.
        runs: Names of the runs.
        scores: Name of a score → score of each run, as shares.
        against: Comparison of the first recipe with this one by each score of `HEADLINE`; empty for the first.
    """

    recipe: str
    runs: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]
    against: Mapping[str, PairedDifference]

    def as_json(self) -> dict:
        """Returns mean, standard deviation (None for one run) and range of every score, and the comparison."""
        scores = {
            name: {
                "mean": float(np.mean(of)),
                "standard_deviation": float(np.std(of, ddof=1)) if len(of) > 1 else None,
                "lowest": min(of),
                "highest": max(of),
            }
            for name, of in self.scores.items()
        }
        against = {
            name: {"difference": of.difference, "interval": list(of.interval), "told_apart": of.told_apart}
            for name, of in self.against.items()
        }
        return {"runs": list(self.runs), "scores": scores, "first_against_this": against}


def average_seeds(evaluations: Iterable[SystemEvaluation]) -> list[RecipeScores]:
    """Averages the runs of each recipe, in the order of their first runs; empty if no recipe has several runs."""
    runs: dict[str, list[SystemEvaluation]] = {}
    for evaluation in evaluations:
        if evaluation.recipe is not None:
            runs.setdefault(evaluation.recipe, []).append(evaluation)
    if all(len(group) == 1 for group in runs.values()):
        return []
    first = _hits(next(iter(runs.values())))
    found = []
    for recipe, group in runs.items():
        scenes = group[0].table.scenes
        compared = paired_differences(first, _hits(group), 0, scenes) if found else ()
        found.append(
            RecipeScores(
                recipe,
                tuple(run.name for run in group),
                {name: tuple(run.metrics[name] for run in group) for name in HEADLINE},
                dict(zip(HEADLINE, compared, strict=False)),
            )
        )
    return found


def _hits(runs: Sequence[SystemEvaluation]) -> np.ndarray:
    return np.stack([run.table.hits[:, : len(HEADLINE)] for run in runs])
