"""Classifiers side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_tools.classification.comparison import expect_same_classes, print_accuracies, side_by_side
from perception_tools.classification.scores import ClassScores
from perception_tools.report.side_by_side import TrainedSystem


def scores(hits: list[int], **further) -> ClassScores:
    right, zeros = np.array(hits, bool), np.zeros(len(hits), np.int64)
    ids = tuple(f"c{number}" for number in range(len(hits)))
    five = np.stack([right, np.ones_like(right)], axis=1)
    return ClassScores("cloud", ids, zeros, zeros, right * 0.5, five, further.pop("unread", {}), ("a", "b"), **further)


def test_the_first_is_compared_with_each_of_the_others_and_seeds_are_averaged() -> None:
    models = {"a, seed 0": scores([1, 1, 0, 0]), "b": scores([0, 1, 0, 0]), "a, seed 1": scores([1, 1, 1, 0])}
    systems = [TrainedSystem("a", (0, 2), (0, 1)), TrainedSystem("b", (1,), (0,))]
    numbers = side_by_side(models, systems)
    assert (numbers["name"], numbers["clouds"], numbers["top1"]) == ("a, seed 0", 4, 0.5)
    assert [*numbers["others"]] == ["b", "a, seed 1"]
    assert numbers["paired"]["b"]["top1"]["difference"] == pytest.approx(0.25)
    mean, other = numbers["systems"]
    assert mean["values"]["top1"] == [0.5, 0.75]
    assert mean["mean"]["top1"] == pytest.approx(0.625)
    assert "first_against_this" not in mean
    assert other["first_against_this"]["top1"]["difference"] == pytest.approx(0.625 - 0.25)
    assert [*mean["mean"]] == ["top1", "top5", "calibration_error"]


def test_runs_have_the_same_classes() -> None:
    runs = [Path("first"), Path("second")]
    expect_same_classes(runs, [("a", "b"), ("a", "b")])
    with pytest.raises(InputError, match="second: expected a model with the 2 classes of first, it has other 3"):
        expect_same_classes(runs, [("a", "b"), ("a", "b", "c")])
    with pytest.raises(InputError, match="expected at least one run, got none"):
        expect_same_classes([], [])


def test_the_table_says_what_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    models = {"ours": scores([1, 0], unread={"bad": "bad.off: broken"}, left_out=3), "theirs": scores([1, 1])}
    systems = [TrainedSystem("ours", (0,), (0,)), TrainedSystem("theirs", (1,), (0,))]
    print_accuracies({"test": side_by_side(models, systems)}, "cloud")
    printed = capsys.readouterr().out
    assert "test (2 clouds)" in printed
    assert "ours     50.00  100.00" in printed
    assert "test: 3 clouds of classes that the models lack are not counted" in printed
    assert "test: 1 clouds could not be read" in printed
