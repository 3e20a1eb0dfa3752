"""Scores of classifiers: top-k accuracy, calibration, and ImageNet's robustness sets by their own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.errors import InputError

CALIBRATION_BINS = 15
"""Number of bins in Guo et al. (https://arxiv.org/abs/1706.04599)."""


def top_k_hits(
    scores: Float[np.ndarray, "pictures classes"], labels: Int[np.ndarray, " pictures"], k: int
) -> Bool[np.ndarray, " pictures"]:
    """Returns whether each picture's class is among the k best; of equal scores the lower class number is better."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    lower = np.arange(scores.shape[1]) < labels[:, None]
    rank = (scores > own).sum(axis=1) + ((scores == own) & lower).sum(axis=1)
    return rank < k


def calibration_error(
    confidence: Float[np.ndarray, " pictures"],
    hits: Bool[np.ndarray, " pictures"],
    bins: int = CALIBRATION_BINS,
) -> float:
    """Returns the expected calibration error (ECE): the mean gap between confidence and accuracy over equal bins.

    Args:
        confidence: Probability of the most likely class.
        hits: Whether that class is right.
        bins: Number of bins.
    """
    if not len(confidence):
        return float("nan")
    edges = np.linspace(0.0, 1.0, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    sums = [np.bincount(places, weights, bins) for weights in (confidence, hits.astype(np.float64))]
    return float(np.abs(sums[0] - sums[1]).sum() / len(confidence))


def restrict_to(
    scores: Float[np.ndarray, "pictures classes"], classes: Sequence[str], subset: Sequence[str]
) -> Float[np.ndarray, "pictures subset"]:
    """Returns the scores of some classes only, as ImageNet-A and ImageNet-R are scored among their 200 classes.

    Args:
        scores: Scores of all of a model's classes.
        classes: Names of the model's classes.
        subset: Names of the classes to keep, in the order of the result.

    Raises:
        InputError: The model lacks one of them.
    """
    number_of = {name: number for number, name in enumerate(classes)}
    missing = [name for name in subset if name not in number_of]
    if missing:
        raise InputError(
            f"classes: expected a model with all {len(subset)} classes of the set, it lacks {len(missing)}, such as "
            f"{missing[0]!r}; evaluate a model that was trained on them"
        )
    return scores[:, [number_of[name] for name in subset]]


def mean_corruption_error(errors: Mapping[str, Sequence[float]], baseline: Mapping[str, float]) -> float:
    """Returns ImageNet-C's mCE in per cent: the error at all severities over AlexNet's, averaged over corruptions.

    Hendrycks and Dietterich (https://arxiv.org/abs/1903.12261), §4.2.

    Args:
        errors: Corruption → top-1 error at each severity, shares from 0 to 1.
        baseline: Corruption → AlexNet's top-1 error averaged over the severities, a share from 0 to 1.

    Raises:
        InputError: There are no corruptions, or the baseline of one is not known.
    """
    if not errors or (unknown := sorted(errors.keys() - baseline.keys())):
        what = f"no baseline for {unknown[0]!r}" if errors else "no corruptions"
        raise InputError(f"mCE: expected corruptions with AlexNet's errors, found {what}; leave the others out")
    return 100 * float(np.mean([np.mean(by_severity) / baseline[name] for name, by_severity in errors.items()]))
