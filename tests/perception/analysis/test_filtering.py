from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from perception.analysis.filtering import (
    THRESHOLDS,
    centre_prior,
    filtering_score,
    frequency,
    grid_targets,
    magnitude,
    scaled,
    threshold_ious,
)

NUMBERS = st.floats(-100, 100, width=32)
FEATURES = npst.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=NUMBERS)
VALUES = npst.arrays(np.float64, st.integers(1, 12), elements=NUMBERS)


def slow_distances(rows: list[list[float]]) -> list[float]:
    mean = [sum(row[c] for row in rows) / len(rows) for c in range(len(rows[0]))]
    return [math.sqrt(sum((value - of) ** 2 for value, of in zip(row, mean, strict=True))) for row in rows]


def slow_phases(row: list[float]) -> list[float]:
    count = len(row)
    bins = [sum(v * cmath.exp(-2j * math.pi * k * c / count) for c, v in enumerate(row)) for k in range(count)]
    return [cmath.phase(value) for value in bins]


@given(FEATURES)
def test_magnitude_is_the_distance_from_the_mean_token(features: np.ndarray) -> None:
    assert magnitude(features) == pytest.approx(slow_distances(features.astype(float).tolist()), abs=1e-9)


@pytest.mark.parametrize("width", [1, 3, 5, 9])
def test_frequency_is_the_distance_between_phases(width: int) -> None:
    features = np.abs(np.random.default_rng(width).normal(size=(5, width)))  # positive sums: no phase of exactly ±π
    expected = slow_distances([slow_phases(row) for row in features.tolist()])
    assert frequency(features) == pytest.approx(expected, abs=1e-9)


@given(FEATURES)
def test_half_of_the_spectrum_is_enough(features: np.ndarray) -> None:
    whole = np.angle(np.fft.fft(features.astype(np.float64), axis=1))
    half = np.fft.rfft(features.astype(np.float64), axis=1)
    # The phase of what is nearly 0 is that of rounding, and a phase of π may be -π in the other way.
    to_pi = np.abs(np.abs(np.angle(half)) - np.pi)
    if np.abs(half).min() > 1e-6 * np.abs(features).max() and to_pi.min() > 1e-6:
        np.testing.assert_allclose(frequency(features), np.linalg.norm(whole - whole.mean(0), axis=1), atol=1e-9)


def test_the_printed_pseudo_code_is_another_measure() -> None:
    features = np.random.default_rng(0).normal(size=(4, 4, 6))  # [height, width, channels]
    printed = np.linalg.norm(features - features.mean(axis=0), axis=-1).ravel()
    assert not np.allclose(printed, magnitude(features.reshape(16, 6)))


@given(FEATURES, st.integers(0, 2**31))
def test_activations_follow_their_tokens_into_any_order(features: np.ndarray, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(features))
    for activation in (magnitude, frequency):
        np.testing.assert_allclose(activation(features[order]), activation(features)[order], atol=1e-6)


@given(FEATURES, NUMBERS)
def test_what_all_tokens_have_in_common_does_not_matter_to_magnitude(features: np.ndarray, shift: float) -> None:
    np.testing.assert_allclose(magnitude(features.astype(float) + shift), magnitude(features), atol=1e-6)


@given(FEATURES, st.floats(0.5, 8))
def test_the_size_of_all_tokens_does_not_matter_once_scaled(features: np.ndarray, factor: float) -> None:
    once, twice = scaled(magnitude(features)), scaled(magnitude(factor * features.astype(float)))
    if np.ptp(magnitude(features)) > 1e-3:
        np.testing.assert_allclose(twice, once, atol=1e-6)


@given(VALUES)
def test_scaled_values_reach_from_0_to_1_and_keep_their_order(values: np.ndarray) -> None:
    found = scaled(values)
    if values.min() == values.max():
        assert not found.any()
    else:
        assert (found.min(), found.max()) == (0.0, 1.0)
        assert (np.diff(found[np.argsort(values, kind="stable")]) >= 0).all()


@given(VALUES, st.data())
def test_the_iou_at_each_threshold_is_what_counting_tokens_gives(values: np.ndarray, data: st.DataObject) -> None:
    masks = npst.arrays(bool, len(values))
    target, counted = data.draw(masks), data.draw(masks)
    activations = scaled(values)
    if not (target & counted).any():
        with pytest.raises(ValueError, match="expected a token of the target"):
            threshold_ious(activations, target, counted)
        return
    found = threshold_ious(activations, target, counted)
    for threshold, iou in zip(THRESHOLDS, found, strict=True):
        tokens = [(z > threshold, t) for z, t, c in zip(activations, target, counted, strict=True) if c]
        both = sum(z and t for z, t in tokens)
        assert iou == both / sum(z or t for z, t in tokens)


def test_activations_that_are_the_target_agree_with_it_wholly() -> None:
    target = np.array([True, False, False, True])
    assert threshold_ious(target.astype(float), target).tolist() == [1.0] * 9
    assert threshold_ious(1 - target.astype(float), target).tolist() == [0.0] * 9


def test_a_patch_is_of_the_target_by_more_than_half_of_its_pixels_that_count() -> None:
    target = np.array([[1, 1, 1, 0, 1, 0], [0, 0, 1, 0, 1, 1]], bool)
    counted = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 0, 0]], bool)
    is_target, counts = grid_targets(target, counted, (1, 3))
    # Two of four; one of three; nothing that counts.
    assert (is_target.tolist(), counts.tolist()) == ([False, False, False], [True, True, False])
    counted[0, 3] = counted[1, 3] = False
    assert grid_targets(target, counted, (1, 3))[0].tolist() == [False, True, False]


@given(npst.arrays(bool, (6, 4)), st.sampled_from([(1, 1), (2, 2), (3, 4), (6, 4), (6, 1)]))
def test_patches_are_read_row_by_row(target: np.ndarray, grid: tuple[int, int]) -> None:
    found, counts = grid_targets(target, np.ones((6, 4), bool), grid)
    height, width = 6 // grid[0], 4 // grid[1]
    for token in range(grid[0] * grid[1]):
        row, column = divmod(token, grid[1])
        patch = target[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert found[token] == (patch.mean() > 0.5)
    assert counts.all()


def test_a_grid_that_does_not_divide_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a grid that divides 4 × 4"):
        grid_targets(np.ones((4, 4), bool), np.ones((4, 4), bool), (3, 2))


def test_the_centre_prior_is_a_centred_box_at_every_threshold() -> None:
    prior = centre_prior((10, 10)).reshape(10, 10)
    for threshold, side in ((0.2, 8), (0.55, 4), (0.85, 2)):
        box = np.zeros((10, 10), bool)
        box[5 - side // 2 : 5 + side // 2, 5 - side // 2 : 5 + side // 2] = True
        np.testing.assert_array_equal(prior > threshold, box)


def test_the_score_takes_the_best_threshold_of_each_record_and_one_for_all() -> None:
    ious = np.zeros((3, 9))
    ious[0, 0], ious[1, 8], ious[2, 4] = 0.9, 0.6, 0.3
    ious[:, 2] = 0.25
    score = filtering_score(ious)
    assert score.miou == pytest.approx(0.6)
    assert score.interval[0] == pytest.approx(0.3)
    assert score.interval[1] == pytest.approx(0.9)
    assert (score.fixed_threshold, score.fixed_miou) == (0.1, pytest.approx(0.3))
    assert score.sweep == pytest.approx(ious.mean(0))
    assert score.fixed_miou <= score.miou


@given(npst.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(9)), elements=st.floats(0, 1)))
def test_the_oracle_is_never_below_a_fixed_threshold(ious: np.ndarray) -> None:
    score = filtering_score(ious)
    assert score.fixed_miou <= score.miou + 1e-12
    assert score.interval[0] <= score.miou + 1e-12
    assert score.miou <= score.interval[1] + 1e-12
