"""Buckets of neighbouring points and their boxes."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.clouds.buckets import SIZE, group_nearby


def test_every_eligible_point_is_in_one_bucket() -> None:
    points, eligible = torch.randn(1000, 3), torch.rand(1000) < 0.6
    buckets = group_nearby(points, eligible)
    real = buckets.index >= 0
    assert torch.equal(buckets.index[real].sort().values, eligible.nonzero().squeeze(1))
    assert torch.equal(buckets.points[real], points[buckets.index[real]])
    assert (~real).sum() == -eligible.sum() % SIZE


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 1e4]))
def test_no_box_is_farther_than_a_point_in_it_even_with_rounding(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    points, places = (scale * torch.randn(count, 3, generator=generator) + scale for count in (300, 50))
    buckets = group_nearby(points, torch.ones(300, dtype=torch.bool))
    x, y, z = (buckets.points - places[:, None, None]).unbind(-1)
    nearest = (x * x + y * y + z * z).amin(-1)
    assert (buckets.square_distance(places) <= nearest).all()


def test_buckets_hold_neighbours() -> None:
    points = torch.rand(SIZE * 64, 3, generator=torch.Generator().manual_seed(0))
    buckets = group_nearby(points, torch.ones(len(points), dtype=torch.bool))
    volume = (buckets.high - buckets.low).prod(-1).sum()
    assert volume < 8, "64 boxes of points in any order would fill nearly 64 unit cubes"


def test_coinciding_points_make_one_bucket() -> None:
    buckets = group_nearby(torch.ones(5, 3), torch.ones(5, dtype=torch.bool))
    assert buckets.index[0, :6].tolist() == [0, 1, 2, 3, 4, -1]
    assert buckets.square_distance(torch.zeros(1, 3)).item() == 3.0
