"""Training records that are kept apart, so that recipes are chosen without a look at the records of evaluation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from perception.errors import InputError


def hold_out(
    labels: Int64[np.ndarray, " records"], share: float, seed: int, noun: str
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " held"]]:
    """Splits records into those to train on and those to validate on; no record is in both, and none is lost.

    Args:
        labels: Class of each record of the training split.
        share: Part of each class that is kept apart, above 0 and below 1, rounded to whole records. One record of
            each class is left to train on.
        seed: Seed of the draw. The draw of a class does not depend on how many records the others have.
        noun: What a record is called, in the singular.

    Returns:
        Rows of the records to train on and of those kept apart, both ascending.

    Raises:
        InputError: No class has enough records for one to be kept apart.
    """
    is_held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(int(np.floor(share * len(members) + 0.5)), len(members) - 1)
        order = np.random.default_rng((seed, int(label))).permutation(len(members))
        is_held[members[order[:count]]] = True
    if not is_held.any():
        raise InputError(
            f"--held-out {share:g}: expected a {noun} or more of a class, found {len(labels)} {noun}s of "
            f"{len(np.unique(labels))} classes, of which that keeps none; give a larger part"
        )
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)
