"""Groups of questions, such as all those about one object, that are answered without a mistake."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def all_right(
    hits: Float[np.ndarray, "questions metrics"], groups: Int[np.ndarray, " questions"]
) -> Bool[np.ndarray, "groups metrics"]:
    """Returns whether all questions of each group are right, for each column.

    Beacon3D's per-object score (https://arxiv.org/abs/2503.22420) is the share of such groups, with the three
    questions about an object as a group, and with an answer taken as right from 4 of a language model's 5 points on.
    Guessing seldom gets all of them.

    Args:
        hits: 1 where an answer is right, otherwise 0.
        groups: Group of each question, from 0 without gaps.
    """
    sizes = np.bincount(groups)
    right = np.zeros((len(sizes), hits.shape[1]))
    np.add.at(right, groups, hits)
    return right == sizes[:, None]
