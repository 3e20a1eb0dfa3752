"""Scores of predictions, and differences between classifiers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_datasets.errors import Failures, RecordError
from perception_tools.classification.predictions import Predictions
from perception_tools.classification.scores import ClassScores, compare, compare_trainings, score

CLASSES = tuple("abcdefgh")


def make(logits: np.ndarray, labels: np.ndarray, failures: Failures | None = None) -> Predictions:
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = tuple(f"p{number}" for number in range(len(labels)))
    return Predictions(ids, labels.astype(np.int64), chances.astype(np.float32), failures or Failures())


@given(seed=st.integers(0, 2**31), pictures=st.integers(1, 30), kept=st.permutations(CLASSES), count=st.integers(2, 8))
def test_a_subset_is_scored_as_the_softmax_of_its_logits(seed: int, pictures: int, kept: list[str], count: int) -> None:
    """The authors of ImageNet-A and -R cut logits; probabilities that are cut and scaled are the same."""
    rng = np.random.default_rng(seed)
    subset = tuple(kept[:count])
    logits, labels = rng.normal(size=(pictures, 8)), rng.integers(0, count, pictures)
    found = score(make(logits, labels), CLASSES, subset, noun="cloud", left_out=3)
    cut = logits[:, [CLASSES.index(name) for name in subset]]
    chances = np.exp(cut) / np.exp(cut).sum(1, keepdims=True)
    assert found.predicted.tolist() == cut.argmax(1).tolist()
    np.testing.assert_allclose(found.confidence, chances.max(1), rtol=1e-4)
    assert found.hits[:, 0].tolist() == (cut.argmax(1) == labels).tolist()
    best_five = np.argsort(-cut, axis=1)[:, :5]
    assert found.hits[:, 1].tolist() == (best_five == labels[:, None]).any(1).tolist()
    numbers = found.as_json()
    assert (numbers["choices"], numbers["left_out"], numbers["clouds"]) == (count, 3, pictures)


def test_the_table_names_classes_and_the_numbers_come_from_it() -> None:
    failures = Failures()
    failures.add("bad", RecordError("bad.png: broken"))
    found = score(make(np.eye(8)[[0, 1, 2, 3]] * 9, np.array([0, 1, 2, 7]), failures), CLASSES, noun="clip")
    columns = found.columns("ours", "val")
    assert [*columns["predicted"]] == ["a", "b", "c", "d"]
    assert [*columns["label"]] == ["a", "b", "c", "h"]
    assert {len(values) for values in columns.values()} == {4}
    numbers = found.as_json()
    assert (numbers["top1"], numbers["unread"], numbers["clips"]) == (0.75, 1, 4)
    assert columns["clip"] == ("p0", "p1", "p2", "p3")
    low, high = numbers["interval"]["top1"]
    assert 0 <= low <= 0.75 <= high <= 1


def scores(hits: list[int], ids: list[str] | None = None) -> ClassScores:
    right = np.array(hits, bool)
    names = tuple(ids or [f"p{number}" for number in range(len(hits))])
    zeros = np.zeros(len(hits), np.int64)
    return ClassScores("picture", names, zeros, zeros, right * 0.5, np.stack([right, right], 1), {}, CLASSES)


def test_two_classifiers_are_compared_on_the_pictures_that_both_have() -> None:
    first = scores([1, 1, 0, 1], ["a", "b", "c", "only"])
    second = scores([0, 1, 1, 0], ["c", "b", "a", "other"])
    found = compare(first, second)["top1"]
    assert (found["both"], found["first_only"], found["second_only"], found["neither"]) == (2, 0, 0, 1)
    assert (found["difference"], found["p_value"], found["told_apart"]) == (0, 1, False)


def test_mcnemars_test_is_scipys_binomial_test() -> None:
    from scipy.stats import binomtest

    found = compare(scores([1] * 12 + [0] * 3 + [1] * 5), scores([0] * 12 + [1] * 3 + [1] * 5))["top1"]
    assert found["p_value"] == pytest.approx(binomtest(3, 15).pvalue)
    assert found["difference"] == pytest.approx(9 / 20)


def test_trainings_are_compared_by_their_means_over_seeds() -> None:
    ours, theirs = [scores([1, 1, 0, 0]), scores([1, 1, 1, 0])], [scores([0, 1, 0, 0]), scores([1, 0, 0, 0])]
    found = compare_trainings(ours, theirs, same_seeds=True)
    assert found["top1"].difference == pytest.approx(5 / 8 - 2 / 8)
    low, high = found["top1"].interval
    assert low <= found["top1"].difference <= high
