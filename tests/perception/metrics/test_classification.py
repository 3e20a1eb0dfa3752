import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from perception.errors import InputError
from perception.metrics.classification import (
    calibration_error,
    mean_corruption_error,
    restrict_to,
    top_k_hits,
)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), pictures=st.integers(1, 40), classes=st.integers(2, 12), k=st.integers(1, 5))
def test_accuracy_and_calibration_are_those_of_torchmetrics(seed: int, pictures: int, classes: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.normal(size=(pictures, classes)), rng.integers(0, classes, pictures)
    k = min(k, classes)
    hits = top_k_hits(logits, labels, k)
    theirs = multiclass_accuracy(
        torch.from_numpy(logits), torch.from_numpy(labels), num_classes=classes, average="micro", top_k=k
    )
    assert hits.mean() == pytest.approx(float(theirs))
    chances = torch.from_numpy(logits).softmax(-1)
    confidence, best = chances.max(-1)
    expected = multiclass_calibration_error(chances, torch.from_numpy(labels), num_classes=classes, n_bins=15)
    found = calibration_error(confidence.numpy(), best.numpy() == labels)
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_of_equal_scores_the_lower_class_is_taken() -> None:
    scores, labels = np.zeros((3, 3)), np.arange(3)
    assert top_k_hits(scores, labels, 1).tolist() == [True, False, False]
    assert top_k_hits(scores, labels, 2).tolist() == [True, True, False]


def test_the_calibration_of_no_pictures_is_not_a_number() -> None:
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_confidences_of_zero_and_one_are_in_the_outer_bins() -> None:
    assert calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0
    assert calibration_error(np.array([0.0, 1.0]), np.array([True, False])) == 1


def test_a_subset_has_its_own_order_and_must_be_known() -> None:
    scores = np.array([[1.0, 2.0, 3.0]])
    assert restrict_to(scores, ["a", "b", "c"], ["c", "a"]).tolist() == [[3.0, 1.0]]
    with pytest.raises(InputError, match="it lacks 1, such as 'd'"):
        restrict_to(scores, ["a", "b", "c"], ["d", "a"])


def test_alexnet_itself_has_an_mce_of_100() -> None:
    baseline = {"fog": 0.8, "snow": 0.9}
    assert mean_corruption_error({name: [error] * 5 for name, error in baseline.items()}, baseline) == pytest.approx(
        100
    )
    # By hand: (0.4 / 0.8 + 0.45 / 0.9) / 2, where severities are averaged first.
    halved = {"fog": [0.3, 0.5], "snow": [0.45, 0.45]}
    assert mean_corruption_error(halved, baseline) == pytest.approx(50)


@pytest.mark.parametrize(("errors", "found"), [({}, "no corruptions"), ({"rain": [0.5]}, "no baseline for 'rain'")])
def test_mce_needs_alexnets_errors(errors: dict, found: str) -> None:
    with pytest.raises(InputError, match=found):
        mean_corruption_error(errors, {"fog": 0.8})
