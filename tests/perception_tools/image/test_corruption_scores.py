"""Scores on ImageNet-C."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.images.imagenet_c import corruptions
from perception_datasets.images.open_pictures import open_pictures
from perception_tools.classification.scores import ClassScores, compare_trainings
from perception_tools.image.corruption_scores import CorruptionScores
from perception_tools.image.sets import EvaluationSet

PLAIN = [one for one in corruptions() if one.alexnet_error is not None]
IDS = ("a", "b", "c", "d")


@pytest.fixture
def add(pictures: Path):
    """Adds scores of a corruption at a severity: whether each picture is right."""
    source = open_pictures(pictures, "val")

    def add_to(to: CorruptionScores, name: str, severity: int, hits: np.ndarray, ids=IDS, unread=None) -> None:
        right, zeros = np.asarray(hits, bool), np.zeros(len(ids), np.int64)
        both = np.stack([right, right], 1)
        found = ClassScores("picture", tuple(ids), zeros, zeros, right * 0.5, both, unread or {}, source.classes)
        to.add(EvaluationSet(f"{name}/{severity}", source, source.classes, True, name, severity), found)

    return add_to


def test_the_mean_is_over_corruptions_and_severities_and_the_error_is_alexnets(add) -> None:
    rng, scores = np.random.default_rng(0), CorruptionScores()
    hits = {one.name: rng.random((5, 4)) < 0.5 for one in PLAIN}
    for name, of in hits.items():
        for severity in range(5):
            add(scores, name, severity + 1, of[severity])
    numbers = scores.as_json()
    assert numbers["mean_top1"] == numbers["top1"] == pytest.approx(np.mean([of.mean() for of in hits.values()]))
    errors = [100 * (1 - hits[one.name].mean()) / one.alexnet_error for one in PLAIN]
    assert numbers["mce"] == pytest.approx(np.mean(errors))
    assert numbers["corruptions"]["fog"] == pytest.approx(hits["fog"].mean(1).tolist())
    low, high = numbers["interval"]["mean_top1"]
    assert low <= numbers["mean_top1"] <= high


def test_without_all_corruptions_there_is_no_relative_error(add) -> None:
    scores = CorruptionScores()
    for one in PLAIN[:-1]:
        add(scores, one.name, 1, np.ones(4))
    numbers = scores.as_json()
    assert "mce" not in numbers
    assert numbers["mean_top1"] == 1


def test_means_are_over_the_pictures_that_were_read_in_every_set(add) -> None:
    scores = CorruptionScores()
    add(scores, "fog", 1, np.array([1, 0, 1]), ids=("a", "b", "c"), unread={"d": "d.png: broken"})
    add(scores, "fog", 2, np.array([1, 1]), ids=("d", "b"), unread={"a": "a.png: broken"})
    assert scores.ids == ("b",)
    numbers = scores.as_json()
    assert (numbers["mean_top1"], numbers["pictures"], numbers["unread"]) == (0.5, 1, 2)
    add(scores, "fog", 3, np.array([1]), ids=("e",))
    with pytest.raises(InputError, match="expected the same pictures under every corruption, found none"):
        scores.as_json()


def test_systems_are_compared_by_their_mean_accuracy(add) -> None:
    first, second = CorruptionScores(), CorruptionScores()
    for severity in (1, 2):
        add(first, "fog", severity, np.array([1, 1, 1, 0]))
        add(second, "fog", severity, np.array([0, 1, 0, 0])[::-1], ids=IDS[::-1])
    found = compare_trainings([first], [second], same_seeds=True)
    assert found["mean_top1"].difference == pytest.approx(0.5)
    assert found.keys() == {"mean_top1", "top5"}
