"""Which pairs of a picture and a caption are worth the fusion, told from few pairs that went through it.

Yadav et al., Efficient Nearest Neighbor Search for Cross-Encoder Models using Matrix Factorization
(https://arxiv.org/abs/2210.12579): a table of scores is nearly of low rank. All captions are scored with a few anchor
pictures and all pictures with a few anchor captions; scores with anchors are then the vectors of a dual encoder, whose
products stand for all other scores. No weight is trained for it, and no true pair is known to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.metrics.retrieval import DIRECTIONS, rank_pairs

SEED = 0
_CHECKED = 4
"""A query is checked for each so many anchors."""
_LARGEST_CONDITION = 1e3
"""Singular values of the anchors' scores below the largest over this are left out: they amplify noise."""
Table = Float[np.ndarray, "pictures captions"]
Mask = Bool[np.ndarray, "pictures captions"]


@dataclass(frozen=True)
class Sample:
    """Rows and columns of the table that are scored in full; no number is in both of a kind.

    Attributes:
        pictures: Anchor pictures.
        captions: Anchor captions.
        checked_pictures: Pictures whose shortlist is compared with the full ranking.
        checked_captions: Captions of which the same is done.
    """

    pictures: Int[np.ndarray, " anchors"]
    captions: Int[np.ndarray, " caption_anchors"]
    checked_pictures: Int[np.ndarray, " checked"]
    checked_captions: Int[np.ndarray, " checked_captions"]

    @classmethod
    def draw(cls, pictures: int, captions: int, count: int) -> Sample:
        """Draws anchors: `count` pictures, and the same part of the captions."""
        rng = np.random.default_rng(SEED)
        drawn = []
        for number, anchors in ((pictures, count), (captions, _in_proportion(count, pictures, captions))):
            order = rng.permutation(number)
            anchors = min(anchors, number)
            drawn.append((order[:anchors], order[anchors : anchors + max(1, anchors // _CHECKED)]))
        (own, checked), (words, checked_words) = drawn
        return cls(own, words, checked, checked_words)

    def mask(self, shape: tuple[int, int]) -> Mask:
        """The pairs to score."""
        mask = self.known(shape)
        mask[self.checked_pictures] = True
        mask[:, self.checked_captions] = True
        return mask

    def known(self, shape: tuple[int, int]) -> Mask:
        """The pairs of anchors, which a shortlist has in any case."""
        mask = np.zeros(shape, dtype=bool)
        mask[self.pictures] = True
        mask[:, self.captions] = True
        return mask


def approximate(table: Table, sample: Sample) -> Table:
    """Stands for every score: products of scores with anchor captions and with anchor pictures."""
    columns, rows = table[:, sample.captions].astype(np.float64), table[sample.pictures].astype(np.float64)
    centre = rows[:, sample.captions].mean()  # a constant is the largest part of most tables
    between = np.linalg.pinv(rows[:, sample.captions] - centre, rcond=1 / _LARGEST_CONDITION)
    return centre + (columns - centre) @ between @ (rows - centre)


def choose_pairs(scores: Table, count: int) -> Mask:
    """The best pictures of each caption, `count` of them, and the best captions of each picture, in proportion."""
    pictures, captions = scores.shape
    mask = np.zeros(scores.shape, dtype=bool)
    best = np.argpartition(-scores, min(count, pictures) - 1, axis=0)[:count]
    np.put_along_axis(mask, best, True, axis=0)
    each = _in_proportion(count, pictures, captions)
    best = np.argpartition(-scores, min(each, captions) - 1, axis=1)[:, :each]
    np.put_along_axis(mask, best, True, axis=1)
    return mask


def ranked(table: Table, mask: Mask) -> Table:
    """The table for ranking: what is not on the shortlist is behind everything that is."""
    return np.where(mask, table, -np.inf)


def measure_loss(table: Table, shortlist: Mask, sample: Sample, picture_of: Int[np.ndarray, " captions"]) -> dict:
    """Compares full rankings with those by the shortlist, for the queries that were scored in full for it.

    Args:
        table: Scores; of checked pictures and captions, all.
        shortlist: Pairs on the shortlist, with those of anchors.
        sample: Whose queries are checked.
        picture_of: Number of each caption's picture.

    Returns:
        For each direction the number of queries, their recall at 1, 5 and 10 by both, and `disagree`, the share of
        queries that are a hit by one of both alone.
    """
    found = {}
    every = np.where(np.isnan(table), -np.inf, table)
    for direction, chosen in zip(DIRECTIONS, (sample.checked_captions, sample.checked_pictures), strict=True):
        if not len(chosen):
            continue
        full, short = (rank_pairs(of, picture_of).hits(direction)[chosen] for of in (every, ranked(every, shortlist)))
        found[direction] = {"queries": len(chosen)} | {
            name: {str(k): float(value) for k, value in zip((1, 5, 10), values.mean(axis=0), strict=True)}
            for name, values in (("full", full), ("shortlist", short), ("disagree", full != short))
        }
    return found


def _in_proportion(count: int, pictures: int, captions: int) -> int:
    return max(1, round(count * captions / pictures))
