"""Recall both ways against sorting, and that nothing is found by giving every pair the same score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception.metrics.retrieval import rank_pairs

PICTURE_OF = np.array([0, 0, 1, 2, 2, 3])


@given(st.integers(0, 1000))
def test_ranks_are_those_of_sorting(seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 6))
    found = rank_pairs(scores, PICTURE_OF)
    for caption, picture in enumerate(PICTURE_OF):
        assert found.picture_ranks[caption] == 1 + list(np.argsort(-scores[:, caption])).index(picture)
    for picture in range(4):
        order = list(np.argsort(-scores[picture]))
        first = min(order.index(caption) for caption in np.flatnonzero(PICTURE_OF == picture))
        assert found.caption_ranks[picture] == 1 + first


def test_ties_count_against() -> None:
    found = rank_pairs(np.zeros((4, 6)), PICTURE_OF)
    assert found.picture_ranks.tolist() == [4] * 6
    assert found.caption_ranks.tolist() == [5, 6, 5, 6], "others than its own"


def test_recall_is_over_captions_and_over_pictures() -> None:
    scores = np.where(PICTURE_OF == np.arange(4)[:, None], 1.0, 0.0)
    scores[1, 0] = 2.0
    found = rank_pairs(scores, PICTURE_OF).as_json()
    assert (found["pictures"], found["captions"]) == (4, 6)
    assert found["recall"]["image_retrieval"] == {"1": pytest.approx(5 / 6), "5": 1.0, "10": 1.0}
    assert found["recall"]["text_retrieval"] == {"1": 0.75, "5": 1.0, "10": 1.0}
    low, high = found["interval"]["image_retrieval"]["1"]
    assert low < 5 / 6 <= high


def test_scores_that_are_missing_and_pictures_without_captions_are_refused() -> None:
    with pytest.raises(InputError, match="found 1 that are not numbers"):
        rank_pairs(np.where(np.arange(24).reshape(4, 6) == 7, np.nan, 0.0), PICTURE_OF)
    with pytest.raises(InputError, match="at least one caption of each of 5 pictures"):
        rank_pairs(np.zeros((5, 6)), PICTURE_OF)
