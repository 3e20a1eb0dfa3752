"""Scores of classifiers on sets of pictures: a row for each picture, what is counted of them, and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.classification import calibration_error, restrict_to, top_k_hits
from perception.metrics.mcnemar import PairedHits
from perception.metrics.paired import PairedDifference, common_records, paired_differences
from perception_tools.image.prediction import Predictions
from perception_tools.image.sets import EvaluationSet

METRICS = ("top1", "top5")
SEED = 0
"""Seed of the resamples."""


@dataclass(frozen=True)
class SetScores:
    """One classifier on one set.

    Attributes:
        ids: Name of each picture.
        labels: Label of each picture.
        predicted: The most likely class.
        confidence: Its probability, among the classes that a prediction is chosen from.
        hits: Whether the label is the most likely class, and whether it is among the five most likely.
        unread: Name → fault of the pictures that could not be read; they are not counted.
        choices: Number of classes that a prediction is chosen from.
        left_out: Number of pictures that are not counted because the model lacks their class.
    """

    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " pictures"]
    predicted: Int64[np.ndarray, " pictures"]
    confidence: Float[np.ndarray, " pictures"]
    hits: Bool[np.ndarray, "pictures 2"]
    unread: Mapping[str, str]
    choices: int
    left_out: int = 0

    def as_json(self) -> dict:
        """Returns numbers from 0 to 1, with their 95 % bootstrap intervals over pictures."""
        low, high = bootstrap_interval(self.hits.astype(np.float64), SEED)
        return {
            "pictures": len(self.ids),
            "unread": len(self.unread),
            "left_out": self.left_out,
            "choices": self.choices,
            **dict(zip(METRICS, self.hits.mean(axis=0).tolist(), strict=True)),
            "interval": {name: [float(low[i]), float(high[i])] for i, name in enumerate(METRICS)},
            "calibration_error": calibration_error(self.confidence, self.hits[:, 0]),
        }

    def columns(self, model: str, of: EvaluationSet) -> dict[str, Sequence[object] | np.ndarray]:
        """Returns a table with a row for each picture."""
        names = np.array(of.classes, dtype=object)
        return {
            "model": [model] * len(self.ids),
            "set": [of.name] * len(self.ids),
            "picture": self.ids,
            "label": names[self.labels],
            "predicted": names[self.predicted],
            "confidence": self.confidence.astype(np.float64),
            "top1": self.hits[:, 0],
            "top5": self.hits[:, 1],
        }


def score(predictions: Predictions, model_classes: Sequence[str], of: EvaluationSet) -> SetScores:
    """Scores predictions by the rule of their set.

    Args:
        predictions: Predictions for the set's pictures.
        model_classes: Names of the classes of the predictions.
        of: The set, with the classes that a prediction is chosen from.
    """
    chances = predictions.probabilities
    if tuple(model_classes) != of.classes:
        chances = restrict_to(chances, model_classes, of.classes)
        chances = chances / np.maximum(chances.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    labels, best = predictions.labels, chances.argmax(axis=1)
    hits = np.stack([top_k_hits(chances, labels, k) for k in (1, 5)], axis=1)
    confidence = chances[np.arange(len(best)), best]
    unread = dict(predictions.failures.reasons)
    return SetScores(predictions.ids, labels, best, confidence, hits, unread, len(of.classes), of.left_out)


def compare(first: SetScores, second: SetScores) -> dict[str, dict]:
    """Compares two classifiers on the pictures that both have, by each metric: McNemar's test and a paired interval."""
    ours, theirs = common_records([first.ids, second.ids])
    scenes = np.arange(len(ours))
    found = {}
    for column, name in enumerate(METRICS):
        hits = PairedHits.count(first.hits[ours, column], second.hits[theirs, column], scenes, SEED)
        found[name] = asdict(hits) | {"difference": hits.difference, "interval": list(hits.interval)}
        found[name] |= {"p_value": hits.p_value, "told_apart": hits.told_apart}
    return found


def compare_trainings(
    first: Sequence[SetScores], second: Sequence[SetScores], *, same_seeds: bool
) -> dict[str, PairedDifference]:
    """Compares two systems, each trained with one seed or several, on the pictures that all of them have."""
    rows = common_records([scores.ids for scores in (*first, *second)])
    hits = [scores.hits[of].astype(np.float64) for scores, of in zip((*first, *second), rows, strict=True)]
    found = paired_differences(np.stack(hits[: len(first)]), np.stack(hits[len(first) :]), SEED, same_seeds=same_seeds)
    return dict(zip(METRICS, found, strict=True))
