"""Differences of systems record by record, and means over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from perception_tools.image_text.comparison import PerRecord, compare, compare_seeds
from perception_tools.report.side_by_side import TrainedSystem

PICTURES = np.repeat(np.arange(20), 2)


def system(mean: float, seed: int = 0) -> dict[str, PerRecord]:
    values = np.random.default_rng(seed).choice([0.0, 1.0], 40, p=[1 - mean, mean])
    return {"overall": PerRecord(values, PICTURES), "only here": PerRecord(values, PICTURES)}


def test_a_large_difference_is_told_apart_and_none_is_not() -> None:
    good, bad = system(0.95), system(0.2, 1)
    bad.pop("only here")
    (found,) = compare(good, bad).values()
    assert found["difference"] == pytest.approx(good["overall"].mean - bad["overall"].mean)
    assert found["told_apart"]
    assert found["p_value"] < 0.001
    assert not compare(good, good)["overall"]["told_apart"]


def test_partly_right_answers_are_no_hits_for_mcnemar() -> None:
    half, none = PerRecord(np.full(40, 0.6), PICTURES), PerRecord(np.zeros(40), PICTURES)
    found = compare({"overall": half}, {"overall": none})["overall"]
    assert (found["first_only"], found["p_value"]) == (0, 1.0)
    assert found["difference"] == pytest.approx(0.6)


def test_seeds_are_averaged() -> None:
    scores = [system(0.9, 0), system(0.9, 1), system(0.3, 2)]
    first, second = compare_seeds(scores, [TrainedSystem("a", (0, 1), (0, 1)), TrainedSystem("b", (2,), (0,))])
    assert first["mean"]["overall"] == pytest.approx((scores[0]["overall"].mean + scores[1]["overall"].mean) / 2)
    assert "first_against_this" not in first
    difference = first["mean"]["overall"] - second["mean"]["overall"]
    assert second["first_against_this"]["overall"]["difference"] == pytest.approx(difference)
    assert second["first_against_this"]["overall"]["told_apart"]
