"""Regions of end points: equal shares, the best that there are, and the same for points that were not clustered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.regions import Regions, end_points, fit_regions


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), count=st.integers(1, 5), each=st.integers(2, 12))
def test_every_region_holds_as_many_points(seed: int, count: int, each: int) -> None:
    points = np.random.default_rng(seed).normal(0, 10, (count * each, 2))
    regions = fit_regions(points, count, seed)
    assert np.bincount(regions.of(points), minlength=count).tolist() == [each] * count


def test_the_shares_are_those_of_the_least_cost_for_their_centres() -> None:
    """Compared with the assignment of every point to a place in a region, six places each."""
    points = np.random.default_rng(0).normal(0, 10, (24, 2))
    regions = fit_regions(points, 4)
    cost = ((points[:, None] - regions.centers) ** 2).sum(-1)
    rows, places = linear_sum_assignment(np.repeat(cost, 6, axis=1))
    np.testing.assert_array_equal(regions.of(points), places[np.argsort(rows)] // 6)
    for region in range(4):
        np.testing.assert_allclose(points[regions.of(points) == region].mean(axis=0), regions.centers[region])


def test_new_points_of_the_same_kind_are_shared_out_nearly_evenly_though_most_are_close_together() -> None:
    rng = np.random.default_rng(0)

    def draw(count: int) -> np.ndarray:
        return np.concatenate([rng.normal(0, 1, (4 * count, 2)), rng.normal(0, 40, (count, 2))])

    regions = fit_regions(draw(60), 5)
    shares = np.bincount(regions.of(draw(400)), minlength=5) / 2000
    assert shares.min() > 0.14
    assert shares.max() < 0.26


def test_points_that_are_all_alike_have_regions_too() -> None:
    assert isinstance(fit_regions(np.ones((6, 2)), 3), Regions)
    with pytest.raises(ValueError, match="at least 3 points for 3 regions, got 2"):
        fit_regions(np.ones((2, 2)), 3)


def test_the_same_points_and_seed_give_the_same_regions() -> None:
    points = np.random.default_rng(0).normal(0, 10, (60, 2))
    first, second = fit_regions(points, 6, seed=3), fit_regions(points, 6, seed=3)
    np.testing.assert_array_equal(first.centers, second.centers)
    np.testing.assert_array_equal(first.weights, second.weights)


def test_ends_are_in_the_focal_agents_own_frames(argoverse1: Path) -> None:
    folder = open_forecasting(argoverse1, "val")
    ends = end_points(folder)
    assert ends.shape == (5, 2)
    scenario = folder[0]
    moved = scenario.agents.position[scenario.focal, -1] - scenario.agents.position[scenario.focal, scenario.present]
    np.testing.assert_allclose(np.linalg.norm(ends[0]), np.linalg.norm(moved))
    assert len(end_points(folder, limit=2)) == 2
