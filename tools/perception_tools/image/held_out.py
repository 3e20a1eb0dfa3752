"""Training pictures that are kept apart, so that recipes are chosen without a look at the pictures of evaluation."""

from __future__ import annotations

import numpy as np

from perception.errors import InputError
from perception_datasets.images.records import Pictures


def hold_out(pictures: Pictures, share: float, seed: int) -> tuple[Pictures, Pictures]:
    """Splits pictures into those to train on and those to validate on; no picture is in both, and none is lost.

    Args:
        pictures: The training split, with labels.
        share: Part of each class that is kept apart, above 0 and below 1, rounded to whole pictures. One picture of
            each class is left to train on.
        seed: Seed of the draw. The draw of a class does not depend on how many pictures the others have.

    Returns:
        The pictures to train on and those kept apart, both in the order that they had.

    Raises:
        InputError: No class has enough pictures for one to be kept apart.
    """
    is_held = np.zeros(len(pictures), dtype=bool)
    for label in np.unique(pictures.labels):
        members = np.flatnonzero(pictures.labels == label)
        count = min(int(np.floor(share * len(members) + 0.5)), len(members) - 1)
        order = np.random.default_rng((seed, int(label))).permutation(len(members))
        is_held[members[order[:count]]] = True
    if not is_held.any():
        raise InputError(
            f"--held-out {share:g}: expected a picture or more of a class, found {len(pictures)} pictures of "
            f"{len(np.unique(pictures.labels))} classes, of which that keeps none; give a larger part"
        )
    return pictures.subset(np.flatnonzero(~is_held)), pictures.subset(np.flatnonzero(is_held))
