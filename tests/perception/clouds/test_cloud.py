from __future__ import annotations

import resource

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from perception.clouds.cloud import MAX_SAMPLED, Cloud, CloudInput, sample_order
from perception.errors import InputError

INPUT = CloudInput(64)


def cloud(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


@given(st.integers(2, 200), st.integers(-10, 20), st.integers(0, 2**16))
def test_units_make_no_difference_on_the_unit_sphere(count: int, exponent: int, seed: int) -> None:
    points = cloud(count, seed)
    mine = INPUT.prepare(Cloud("a", points))
    assert mine.shape == (64, 3)
    assert mine.norm(dim=1).max() <= 1 + 1e-6
    assert torch.equal(INPUT.prepare(Cloud("b", points * np.float32(2.0**exponent))), mine)


def test_millimetres_and_another_place_make_no_difference_on_the_unit_sphere() -> None:
    points = cloud(64).astype(np.float64)  # as many as are taken, so only their order could differ
    mine = INPUT.prepare(Cloud("a", points.astype(np.float32)))
    theirs = INPUT.prepare(Cloud("b", (1000 * (points + 5)).astype(np.float32)))
    assert torch.cdist(mine, theirs).min(1).values.max() < 1e-3


def test_metres_are_kept_without_scaling_and_millimetres_are_refused() -> None:
    plain = CloudInput(8, scaling="none")
    points = cloud(8)
    assert {tuple(row) for row in plain.prepare(Cloud("a", points)).tolist()} == {tuple(r) for r in points.tolist()}
    with pytest.raises(InputError, match=r"cloud chair: expected an object in metres.*divide millimetres by 1,000"):
        plain.prepare(Cloud("chair", points * 1000))


def test_missing_points_are_left_out() -> None:
    points = cloud(50)
    with_holes = np.concatenate([points, np.full((5, 3), np.nan, np.float32), [[np.inf, 0, 0]]]).astype(np.float32)
    assert torch.equal(INPUT.prepare(Cloud("a", with_holes)), INPUT.prepare(Cloud("a", points)))


@pytest.mark.parametrize("points", [np.zeros((0, 3), np.float32), np.full((4, 3), np.nan, np.float32)])
def test_a_cloud_without_a_point_is_named(points: np.ndarray) -> None:
    with pytest.raises(InputError, match=f"cloud empty: expected at least one point .*{len(points)} points and none"):
        INPUT.prepare(Cloud("empty", points))


@pytest.mark.parametrize("points", [np.ones((1, 3)), np.full((9, 3), -3.0)])
def test_one_point_and_copies_of_it_lie_at_the_origin(points: np.ndarray) -> None:
    assert torch.equal(INPUT.prepare(Cloud("a", points.astype(np.float32))), torch.zeros(64, 3))


def test_too_few_points_come_equally_often() -> None:
    seen = INPUT.prepare(Cloud("a", cloud(20)))
    _, counts = seen.unique(dim=0, return_counts=True)
    assert counts.tolist().count(3) == 16
    assert counts.tolist().count(4) == 4


def test_a_longer_sample_begins_with_the_shorter() -> None:
    of = Cloud("a", cloud(300))
    assert torch.equal(INPUT.sample(of, 100)[:64], INPUT.prepare(of))
    assert sample_order(torch.from_numpy(of.points), 5)[0] == 0


def test_a_million_points_take_bounded_memory() -> None:
    points = cloud(1_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seen = INPUT.prepare(Cloud("a", points))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    thinned = points[:: -(-len(points) // MAX_SAMPLED)]
    assert torch.equal(seen, INPUT.prepare(Cloud("a", thinned)))


@pytest.mark.parametrize("points", [np.zeros((3, 4), np.float32), np.zeros((3, 3)), np.zeros(3, np.float32)])
def test_a_cloud_of_another_shape_or_type_is_refused(points: np.ndarray) -> None:
    with pytest.raises((InputError, TypeCheckError)):
        Cloud("a", points)
