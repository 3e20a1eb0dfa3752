"""Recall of pictures by captions and of captions by pictures, as on Flickr30k and COCO (Karpathy's protocol).

Ties count against: a scorer that gives every pair the same number ranks nothing first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.errors import InputError
from perception.metrics.bootstrap import bootstrap_interval

CUTS = (1, 5, 10)
DIRECTIONS = ("image_retrieval", "text_retrieval")


@dataclass(frozen=True)
class RetrievalTable:
    """Ranks of what belongs together; 1 is the best.

    Attributes:
        picture_ranks: Rank of its picture among all pictures, for each caption.
        caption_ranks: Best rank of its captions among all captions, for each picture.
        picture_of: Number of each caption's picture.
        seed: Seed of the bootstrap intervals.
    """

    picture_ranks: Int[np.ndarray, " captions"]
    caption_ranks: Int[np.ndarray, " pictures"]
    picture_of: Int[np.ndarray, " captions"]
    seed: int = 0

    def hits(self, direction: str) -> Bool[np.ndarray, "queries cuts"]:
        """Returns whether each query finds what belongs to it among the first 1, 5 and 10.

        Args:
            direction: `image_retrieval` (a query is a caption) or `text_retrieval` (a query is a picture).
        """
        ranks = self.picture_ranks if direction == DIRECTIONS[0] else self.caption_ranks
        return ranks[:, None] <= np.array(CUTS)

    def groups(self, direction: str) -> Int[np.ndarray, " queries"]:
        """Returns the picture of each query; captions of one picture are not independent."""
        return self.picture_of if direction == DIRECTIONS[0] else np.arange(len(self.caption_ranks))

    def as_json(self) -> dict:
        """Returns recall from 0 to 1, with 95 % bootstrap intervals over pictures."""
        recall, interval = {}, {}
        for direction in DIRECTIONS:
            hits = self.hits(direction).astype(np.float64)
            low, high = bootstrap_interval(hits, self.seed, groups=self.groups(direction))
            recall[direction] = {str(k): float(value) for k, value in zip(CUTS, hits.mean(axis=0), strict=True)}
            interval[direction] = {str(k): [float(low[i]), float(high[i])] for i, k in enumerate(CUTS)}
        return {
            "pictures": len(self.caption_ranks),
            "captions": len(self.picture_ranks),
            "recall": recall,
            "interval": {"level": 0.95, "seed": self.seed, **interval},
            "median_rank": {
                DIRECTIONS[0]: float(np.median(self.picture_ranks)),
                DIRECTIONS[1]: float(np.median(self.caption_ranks)),
            },
        }


def rank_pairs(
    scores: Float[np.ndarray, "pictures captions"], picture_of: Int[np.ndarray, " captions"]
) -> RetrievalTable:
    """Ranks pictures for each caption, and captions for each picture.

    A picture's other true captions do not stand in the way of the best one, as in the usual protocol.

    Args:
        scores: How well each picture and caption match; larger is better.
        picture_of: Number of each caption's picture.

    Raises:
        InputError: A score is not a number, or a picture has no caption.
    """
    pictures, captions = scores.shape
    if np.isnan(scores).any():
        raise InputError(
            f"retrieval: expected a score for each of {scores.size:,} pairs, found {int(np.isnan(scores).sum()):,} "
            "that are not numbers; score them again"
        )
    if not captions or set(np.unique(picture_of)) != set(range(pictures)):
        raise InputError(f"retrieval: expected at least one caption of each of {pictures:,} pictures; leave others out")
    own = scores[picture_of, np.arange(captions)]
    picture_ranks = (scores >= own).sum(axis=0)
    is_own = picture_of == np.arange(pictures)[:, None]
    best = np.where(is_own, scores, -np.inf).max(axis=1, keepdims=True)
    caption_ranks = 1 + ((scores >= best) & ~is_own).sum(axis=1)
    return RetrievalTable(picture_ranks, caption_ranks, picture_of)
