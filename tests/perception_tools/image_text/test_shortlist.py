"""Shortlists: exact for tables of low rank, and honest about what they lose on others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.metrics.retrieval import rank_pairs
from perception_tools.image_text.shortlist import Sample, approximate, choose_pairs, measure_loss, ranked

PICTURES, CAPTIONS = 60, 180
PICTURE_OF = np.repeat(np.arange(PICTURES), 3)


def low_rank_table(seed: int, rank: int = 4) -> np.ndarray:
    """Scores by which most captions find their picture; of rank `rank`, and a constant."""
    rng = np.random.default_rng(seed)
    pictures = rng.normal(size=(PICTURES, rank))
    captions = pictures[PICTURE_OF] + 0.1 * rng.normal(size=(CAPTIONS, rank))
    return (2.0 + pictures @ captions.T).astype(np.float32)


@given(seed=st.integers(0, 1000), count=st.integers(8, 30))
def test_a_table_of_low_rank_is_known_from_its_anchors(seed: int, count: int) -> None:
    table = low_rank_table(seed)
    sample = Sample.draw(PICTURES, CAPTIONS, count)
    known = np.where(sample.known(table.shape), table, np.nan)
    np.testing.assert_allclose(approximate(known, sample), table, rtol=0, atol=0.1 * float(table.std()))


@given(seed=st.integers(0, 1000), count=st.integers(1, 70))
def test_every_query_has_its_best_on_the_shortlist(seed: int, count: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(PICTURES, CAPTIONS))
    mask = choose_pairs(scores, count)
    for axis, size in ((0, min(count, PICTURES)), (1, min(3 * count, CAPTIONS))):
        assert (mask.sum(axis=axis) >= size).all()
        place = (-scores).argsort(axis=axis).argsort(axis=axis)
        assert mask[place < size].all()


def test_a_sample_has_each_query_once_and_leaves_what_it_checks_out_of_the_anchors() -> None:
    sample = Sample.draw(PICTURES, CAPTIONS, 12)
    assert [len(of) for of in (sample.pictures, sample.captions)] == [12, 36]
    assert [len(of) for of in (sample.checked_pictures, sample.checked_captions)] == [3, 9]
    for anchors, checked in (
        (sample.pictures, sample.checked_pictures), (sample.captions, sample.checked_captions)
    ):  # fmt: skip
        assert len(set(anchors) | set(checked)) == len(anchors) + len(checked)
    known, scored = sample.known((PICTURES, CAPTIONS)), sample.mask((PICTURES, CAPTIONS))
    assert not (known & ~scored).any()
    assert scored[sample.checked_pictures].all()
    assert scored[:, sample.checked_captions].all()
    assert not known[sample.checked_pictures].all()


def _checked(table: np.ndarray, count: int) -> tuple[dict, np.ndarray]:
    sample = Sample.draw(PICTURES, CAPTIONS, count)
    scored = np.where(sample.mask(table.shape), table, np.nan)
    chosen = choose_pairs(approximate(scored, sample), count) | sample.known(table.shape)
    return measure_loss(np.where(chosen | sample.mask(table.shape), table, np.nan), chosen, sample, PICTURE_OF), chosen


def test_on_a_table_of_low_rank_nothing_is_lost() -> None:
    table = low_rank_table(0)
    found, chosen = _checked(table, 12)
    assert chosen.mean() < 0.7
    full, short = (rank_pairs(of, PICTURE_OF).as_json()["recall"] for of in (table, ranked(table, chosen)))
    assert short == full
    for direction, queries in (("image_retrieval", 9), ("text_retrieval", 3)):
        assert found[direction]["queries"] == queries
        assert found[direction]["full"] == found[direction]["shortlist"]
        assert set(found[direction]["disagree"].values()) == {0}


def test_what_is_lost_is_said() -> None:
    """A table that anchors say nothing about: only true pairs stand out of noise."""
    table = np.random.default_rng(0).normal(size=(PICTURES, CAPTIONS)).astype(np.float32)
    table[PICTURE_OF, np.arange(CAPTIONS)] += 10
    found, chosen = _checked(table, 4)
    assert found["image_retrieval"]["full"]["1"] == 1
    assert found["image_retrieval"]["shortlist"]["1"] < 1
    lost = 1 - found["image_retrieval"]["shortlist"]["1"]
    assert found["image_retrieval"]["disagree"]["1"] == pytest.approx(lost)
    assert rank_pairs(ranked(table, chosen), PICTURE_OF).as_json()["recall"]["image_retrieval"]["1"] < 0.9


def test_anchors_that_are_everything_leave_nothing_to_check() -> None:
    table = low_rank_table(1)
    found, chosen = _checked(table, PICTURES)
    assert chosen.all()
    assert found == {}
