"""Calibration of probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from perception.metrics.calibration import Calibration


def test_probabilities_that_come_true_as_often_as_they_say_have_no_error() -> None:
    calibration = Calibration()
    calibration.add(np.tile([0.75, 0.25], (4, 1)), np.array([0, 0, 0, 1]))
    assert calibration.error == pytest.approx(0)
    assert calibration.as_json()["bins"] == [
        {"modes": 4, "probability": 0.25, "nearest": 0.25},
        {"modes": 4, "probability": 0.75, "nearest": 0.75},
    ]


def test_the_error_is_how_far_bins_are_off_weighted_by_their_modes() -> None:
    calibration = Calibration()
    calibration.add(np.array([[1.0, 0.0]]), np.array([1]))
    assert calibration.error == 1
    calibration.add(np.tile([0.5, 0.5], (2, 1)), np.array([0, 1]))
    assert calibration.error == pytest.approx(2 / 6)


def test_forecasts_may_be_added_one_by_one() -> None:
    rng = np.random.default_rng(0)
    chances, winners = rng.dirichlet(np.ones(6), 20), rng.integers(0, 6, 20)
    together, apart = Calibration(), Calibration()
    together.add(chances, winners)
    for row in range(20):
        apart.add(chances[row : row + 1], winners[row : row + 1])
    np.testing.assert_allclose(apart.counts, together.counts)


def test_nothing_has_no_error() -> None:
    assert Calibration().as_json() == {"expected_calibration_error": 0.0, "bins": []}
