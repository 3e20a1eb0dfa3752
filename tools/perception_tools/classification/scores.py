"""Scores of classifiers on sets of records: a row for each record, what is counted of them, and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int64

from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.classification import calibration_error, restrict_to, top_k_hits
from perception.metrics.mcnemar import PairedHits
from perception.metrics.paired import PairedDifference, common_records, paired_differences
from perception_tools.classification.predictions import Predictions

METRICS = ("top1", "top5")
SEED = 0
"""Seed of the resamples."""


class Scores(Protocol):
    """One classifier's scores on a set, or on a group of sets with the same records."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Name of each record that counts."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Name of each column of `hits_of`, the one to be judged by first."""
        ...

    def hits_of(self, ids: Sequence[str]) -> Float[np.ndarray, "records metrics"]:
        """How right the classifier is on each of these records, from 0 to 1."""
        ...

    def as_json(self) -> dict:
        """All numbers, as metrics.json has them."""
        ...


@dataclass(frozen=True)
class ClassScores:
    """One classifier on one set.

    Attributes:
        noun: What a record is called, in the singular: `picture`.
        ids: Name of each record.
        labels: Label of each record.
        predicted: The most likely class.
        confidence: Its probability, among the classes that a prediction is chosen from.
        hits: Whether the label is the most likely class, and whether it is among the five most likely.
        unread: Name → fault of the records that could not be read; they are not counted.
        classes: Names of the classes that a prediction is chosen from.
        left_out: Number of records that are not counted because the model lacks their class.
    """

    noun: str
    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " records"]
    predicted: Int64[np.ndarray, " records"]
    confidence: Float[np.ndarray, " records"]
    hits: Bool[np.ndarray, "records 2"]
    unread: Mapping[str, str]
    classes: tuple[str, ...]
    left_out: int = 0

    @property
    def metrics(self) -> tuple[str, ...]:
        """Name of each column of `hits`."""
        return METRICS

    def hits_of(self, ids: Sequence[str]) -> Float[np.ndarray, "records 2"]:
        """1 for each of these records that is right, by the best class and by the best five."""
        return self.hits[common_records([ids, self.ids])[1]].astype(np.float64)

    def as_json(self) -> dict:
        """Returns numbers from 0 to 1, with their 95 % bootstrap intervals over records."""
        low, high = bootstrap_interval(self.hits.astype(np.float64), SEED)
        return {
            f"{self.noun}s": len(self.ids),
            "unread": len(self.unread),
            "left_out": self.left_out,
            "choices": len(self.classes),
            **dict(zip(METRICS, self.hits.mean(axis=0).tolist(), strict=True)),
            "interval": {name: [float(low[i]), float(high[i])] for i, name in enumerate(METRICS)},
            "calibration_error": calibration_error(self.confidence, self.hits[:, 0]),
        }

    def columns(self, model: str, set_name: str) -> dict[str, Sequence[object] | np.ndarray]:
        """Returns a table with a row for each record."""
        names = np.array(self.classes, dtype=object)
        return {
            "model": [model] * len(self.ids),
            "set": [set_name] * len(self.ids),
            self.noun: self.ids,
            "label": names[self.labels],
            "predicted": names[self.predicted],
            "confidence": self.confidence.astype(np.float64),
            "top1": self.hits[:, 0],
            "top5": self.hits[:, 1],
        }


def score(
    predictions: Predictions,
    model_classes: Sequence[str],
    choices: Sequence[str] | None = None,
    *,
    noun: str,
    left_out: int = 0,
) -> ClassScores:
    """Scores predictions.

    Args:
        predictions: Predictions for a set's records, whose labels are numbers of `choices`.
        model_classes: Names of the classes of the predictions.
        choices: Names of the classes that a prediction is chosen from; all of the model's by default.
        noun: What a record is called, in the singular.
        left_out: Number of records of the set that were not predicted because the model lacks their class.
    """
    chances, among = predictions.probabilities, tuple(model_classes if choices is None else choices)
    if tuple(model_classes) != among:
        chances = restrict_to(chances, model_classes, among)
        chances = chances / np.maximum(chances.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    labels, best = predictions.labels, chances.argmax(axis=1)
    hits = np.stack([top_k_hits(chances, labels, k) for k in (1, 5)], axis=1)
    confidence = chances[np.arange(len(best)), best]
    unread = dict(predictions.failures.reasons)
    return ClassScores(noun, predictions.ids, labels, best, confidence, hits, unread, among, left_out)


def compare(first: ClassScores, second: ClassScores) -> dict[str, dict]:
    """Compares two classifiers on the records that both have, by each metric: McNemar's test and a paired interval."""
    ours, theirs = common_records([first.ids, second.ids])
    scenes = np.arange(len(ours))
    found = {}
    for column, name in enumerate(METRICS):
        hits = PairedHits.count(first.hits[ours, column], second.hits[theirs, column], scenes, SEED)
        found[name] = asdict(hits) | {"difference": hits.difference, "interval": list(hits.interval)}
        found[name] |= {"p_value": hits.p_value, "told_apart": hits.told_apart}
    return found


def compare_trainings(
    first: Sequence[Scores], second: Sequence[Scores], *, same_seeds: bool
) -> dict[str, PairedDifference]:
    """Compares two systems, each trained with one seed or several, on the records that all of them have."""
    everyone = (*first, *second)
    tables = [scores.ids for scores in everyone]
    common = [tables[0][row] for row in common_records(tables)[0]]
    hits = [scores.hits_of(common) for scores in everyone]
    found = paired_differences(np.stack(hits[: len(first)]), np.stack(hits[len(first) :]), SEED, same_seeds=same_seeds)
    return dict(zip(first[0].metrics, found, strict=True))
