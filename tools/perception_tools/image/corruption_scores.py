"""Scores of a classifier on ImageNet-C: mean accuracy, and the corruption error relative to AlexNet's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from perception.errors import InputError
from perception.metrics.bootstrap import bootstrap_interval
from perception.metrics.classification import mean_corruption_error
from perception.metrics.paired import common_records
from perception_datasets.images.imagenet_c import corruptions
from perception_tools.classification.scores import SEED, ClassScores
from perception_tools.image.sets import EvaluationSet


@dataclass
class CorruptionScores:
    """One classifier on all corruptions and severities so far.

    Attributes:
        by_set: Corruption → scores at each severity, the mildest first.
        unread: Name → fault of the pictures that could not be read in some of the sets.
    """

    by_set: dict[str, list[ClassScores]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def add(self, of: EvaluationSet, scores: ClassScores) -> None:
        """Adds the scores of one corruption at one severity."""
        self.by_set.setdefault(of.corruption, []).append(scores)
        self.unread |= scores.unread

    @property
    def metrics(self) -> tuple[str, ...]:
        """Name of each column of `hits_of`."""
        return "mean_top1", "top5"

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the pictures that were read in every set.

        Raises:
            InputError: There is none.
        """
        tables = [scores.ids for by_severity in self.by_set.values() for scores in by_severity]
        (rows, *_) = common_records(tables)
        if not len(rows):
            raise InputError(
                "corruptions: expected the same pictures under every corruption, found none that all have; unpack "
                "ImageNet-C again"
            )
        return tuple(tables[0][row] for row in rows)

    def hits_of(self, ids: Sequence[str]) -> Float[np.ndarray, "pictures 2"]:
        """Returns each picture's top-1 and top-5 hits averaged over all corruptions and severities."""
        tables = [scores for by_severity in self.by_set.values() for scores in by_severity]
        return np.mean([scores.hits_of(ids) for scores in tables], axis=0)

    def as_json(self) -> dict:
        """Returns shares from 0 to 1, mCE in per cent, and each corruption's accuracy by severity.

        `mean_top1` is what Pang et al.'s table 1 has for ImageNet-C: the mean accuracy over corruptions and severities.
        mCE is over the 15 corruptions that have AlexNet's errors; it is left out unless all of them are there.
        """
        pictures = self.ids
        means = self.hits_of(pictures)
        low, high = bootstrap_interval(means, SEED)
        top1 = {name: [float(s.hits[:, 0].mean()) for s in by_severity] for name, by_severity in self.by_set.items()}
        alexnet = {one.name: one.alexnet_error for one in corruptions() if one.alexnet_error is not None}
        numbers = {
            "pictures": len(pictures),
            "unread": len(self.unread),
            "top1": float(means[:, 0].mean()),
            "top5": float(means[:, 1].mean()),
            "mean_top1": float(means[:, 0].mean()),
            "interval": {"mean_top1": [float(low[0]), float(high[0])], "top5": [float(low[1]), float(high[1])]},
            "corruptions": top1,
        }
        if top1.keys() >= alexnet.keys():
            numbers["mce"] = mean_corruption_error(_errors(top1, alexnet), alexnet)
        return numbers


def _errors(top1: Mapping[str, Sequence[float]], alexnet: Mapping[str, float]) -> dict[str, list[float]]:
    return {name: [1 - accuracy for accuracy in top1[name]] for name in alexnet}
