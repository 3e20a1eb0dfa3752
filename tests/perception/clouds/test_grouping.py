"""Point operations, compared with PointNet++'s CUDA kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.clouds import grouping
from perception.clouds.grouping import (
    ball_query,
    farthest_points,
    farthest_points_step_by_step,
    interpolate,
    nearest_neighbors,
    take,
    three_nearest,
)

few = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)


def random_clouds(seed: int, *, batch: int = 2, points: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    """Clouds on a lattice and a random mask: distances tie, points coincide or lie exactly at a radius."""
    generator = torch.Generator().manual_seed(seed)
    lattice = torch.randint(-3, 4, (batch, points, 3), generator=generator) * 0.25
    valid = torch.rand(batch, points, generator=generator) < 0.7
    return lattice, valid


def ball_query_as_the_kernel_does(centre: np.ndarray, points: np.ndarray, radius: float, count: int) -> list[int]:
    """The CUDA kernel's loop for one centre, in the types of its C code."""
    found = [0] * count
    hits = 0
    for index, point in enumerate(points):
        dx, dy, dz = centre - point
        if dx * dx + dy * dy + dz * dz < np.float32(radius) * np.float32(radius):
            if hits == 0:
                found = [index] * count
            found[hits] = index
            hits += 1
            if hits == count:
                break
    return found


@pytest.mark.parametrize(
    ("name", "exact_until"),
    [("airplane_0001", 2048), ("airplane_0002", 2048), ("airplane_0627", 680), ("airplane_0628", 1890)],
)
def test_modelnets_files_are_in_farthest_point_order(real_data: Path, name: str, exact_until: int) -> None:
    path = real_data / "pointcloud" / "modelnet40_normal_resampled" / "airplane" / f"{name}.txt"
    points = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.float32)[:, :3])[None]
    chosen = farthest_points(points, 2048)[0]
    wrong = (chosen != torch.arange(2048)).nonzero().squeeze(1)
    # Two neighbours are swapped where distances tie at the precision of the text; the rest is in order.
    assert torch.equal(wrong, torch.tensor([] if exact_until == 2048 else [exact_until, exact_until + 1]).long())
    skipping = farthest_points(points, 2048, skip_origin=True)[0]
    near_origin = (points[0].double().square().sum(-1) <= 1e-3).sum()
    if name == "airplane_0627":
        assert near_origin == 19
        assert (skipping != torch.arange(2048)).nonzero()[0].item() == 9
    assert not torch.isin(skipping[1:], (points[0].square().sum(-1) <= 1e-3).nonzero()).any()
    assert torch.equal(skipping, chosen) == (near_origin == 0)


@few
@given(seeds, st.integers(0, 699), st.sampled_from([1, 3]))
def test_a_sample_starts_where_it_is_told_to(seed: int, start: int, batch: int) -> None:
    clouds, _ = random_clouds(seed, batch=batch, points=700)
    first = torch.full((batch,), start)
    chosen = farthest_points(clouds, 20, start=first)
    distances = [
        torch.cdist(cloud[index].double(), cloud[index].double()) for cloud, index in zip(clouds, chosen, strict=True)
    ]
    assert torch.equal(chosen[:, 0], first)
    for gaps, cloud, index in zip(distances, clouds, chosen, strict=True):
        reached = [gaps[i, :i].min() for i in range(1, 20)]
        assert reached == sorted(reached, reverse=True)  # every choice is as far from the earlier ones as can be
        assert torch.cdist(cloud.double(), cloud[index[:-1]].double()).min(1).values.max() <= reached[-1] + 1e-12


@few
@given(seeds, st.sampled_from([90, 700]), st.booleans())
def test_both_ways_of_sampling_choose_the_same_points(seed: int, points: int, skip_origin: bool) -> None:
    lattice, valid = random_clouds(seed, points=points)
    scattered = lattice + torch.rand(lattice.shape, generator=torch.Generator().manual_seed(seed))
    for clouds in (lattice, scattered, scattered.double() * 1e4):
        eligible = valid & (clouds.square().sum(-1) > 1e-3) if skip_origin else valid
        expected = farthest_points_step_by_step(clouds, 80, eligible, valid.int().argmax(1))
        assert torch.equal(farthest_points(clouds, 80, valid, skip_origin=skip_origin), expected)


def test_many_equal_distances_are_taken_in_the_order_of_their_index() -> None:
    ring = torch.cat([torch.zeros(1, 3), torch.eye(3).repeat(200, 1)])[None]  # 600 points, three places, all at 1 m
    assert farthest_points(ring, 7).tolist() == [[0, 1, 2, 3, 0, 0, 0]]


def test_sampling_starts_at_the_first_valid_point_and_never_leaves_the_valid_ones() -> None:
    clouds, valid = random_clouds(0, points=400)
    valid[0, :5] = False
    valid[1] = False
    chosen = farthest_points(clouds, 50, valid)
    assert chosen[0, 0] == valid[0].nonzero()[0]
    assert valid[0, chosen[0]].all()
    assert chosen[1].eq(0).all(), "a cloud without valid points has nothing to choose"


def test_a_sample_of_a_sample_is_its_beginning() -> None:
    points = torch.randn(1, 1000, 3)
    chosen = farthest_points(points, 200)
    assert torch.equal(farthest_points(take(points, chosen), 100), torch.arange(100)[None])


@few
@given(seeds, st.sampled_from([0.25, 0.6, 20.0]), st.sampled_from([1, 4, 95]))
def test_ball_queries_equal_the_kernels_loop(seed: int, radius: float, count: int) -> None:
    points, _ = random_clouds(seed)
    centres = torch.cat([points[:, :5], points[:, :3] + 0.1, torch.full((2, 1, 3), 50.0)], dim=1)
    expected = [
        [ball_query_as_the_kernel_does(centre, cloud, radius, count) for centre in of_cloud]
        for of_cloud, cloud in zip(centres.numpy(), points.numpy(), strict=True)
    ]
    assert ball_query(centres, points, radius, count).tolist() == expected


def test_ball_queries_see_valid_points_only_and_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    points, valid = random_clouds(1, points=300)
    valid[1, 150:] = False
    everything = ball_query(points, points, 0.6, 8, valid)
    kept = valid[0].nonzero().squeeze(1)
    alone = ball_query(points[:1], points[:1, kept], 0.6, 8)
    empty = torch.cdist(points[:1].double(), points[:1, kept].double()).amin(-1, keepdim=True) >= 0.6
    assert torch.equal(everything[:1], torch.where(empty, 0, kept[alone]))
    monkeypatch.setattr(grouping, "PAIRS_AT_ONCE", 700)
    assert torch.equal(ball_query(points, points, 0.6, 8, valid), everything)
    assert ball_query(points, points, 0.6, 8, torch.zeros_like(valid)).eq(0).all()


@few
@given(seeds)
def test_neighbours_equal_brute_force(seed: int) -> None:
    clouds, valid = random_clouds(seed)
    queries = clouds[:, :20] + torch.rand(2, 20, 3)
    valid[:, :9] = True
    between = np.linalg.norm(queries.numpy()[:, :, None] - clouds.numpy()[:, None], axis=-1)
    between[~np.broadcast_to(valid.numpy()[:, None], between.shape)] = np.inf
    order = np.argsort(between, axis=-1, kind="stable")
    expected = np.take_along_axis(between, order, -1)
    distance, index = nearest_neighbors(queries, clouds, 9, valid)
    np.testing.assert_allclose(distance, expected[..., :9], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(between, index.numpy(), -1), expected[..., :9], rtol=1e-5)
    distance, index = three_nearest(queries, clouds, valid)
    np.testing.assert_allclose(distance, expected[..., :3], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(between, index.numpy(), -1), expected[..., :3], rtol=1e-5)


def test_of_equally_near_points_the_lower_indices_count() -> None:
    corners = torch.tensor([[[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0.5, 0, 0]]])
    distance, index = three_nearest(torch.zeros(1, 1, 3), corners)
    assert index.tolist() == [[[4, 0, 1]]]
    assert distance.tolist() == [[[0.5, 1.0, 1.0]]]
    for dtype in (torch.float32, torch.float64):
        distance, index = nearest_neighbors(torch.zeros(1, 1, 3, dtype=dtype), corners.to(dtype), 4)
        assert index.tolist() == [[[4, 0, 1, 2]]]
        assert distance.tolist() == [[[0.5, 1.0, 1.0, 1.0]]]


@few
@given(seeds)
def test_neighbours_are_those_of_a_stable_sort(seed: int) -> None:
    clouds, valid = random_clouds(seed)
    _, index = nearest_neighbors(clouds[:, :7], clouds, 20, valid)
    squared = (clouds[:, :7, None] - clouds[:, None]).square().sum(-1).masked_fill(~valid[:, None], torch.inf)
    assert torch.equal(index, squared.sort(dim=-1, stable=True).indices[..., :20])


def test_neighbours_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    clouds = torch.randn(2, 50, 3)
    whole = (*nearest_neighbors(clouds, clouds, 4), *three_nearest(clouds, clouds))
    monkeypatch.setattr(grouping, "PAIRS_AT_ONCE", 300)
    for part, expected in zip(
        (*nearest_neighbors(clouds, clouds, 4), *three_nearest(clouds, clouds)), whole, strict=True
    ):
        assert torch.equal(part, expected)


def test_interpolation_weights_the_three_nearest_values_by_inverse_distance() -> None:
    points = torch.tensor([[[0.0, 0, 0], [3, 0, 0], [0, 6, 0], [9, 9, 9]]])
    values = torch.tensor([[[10.0], [20], [30], [1000]]], requires_grad=True)
    got = interpolate(torch.tensor([[[1.0, 0, 0], [0, 0, 0]]]), points, values)
    weights = np.array([1 / 1, 1 / 2, 1 / np.sqrt(37)])
    torch.testing.assert_close(got[0, :, 0], torch.tensor([weights @ [10, 20, 30] / weights.sum(), 10.0]).float())
    got[0, 0].backward()
    assert values.grad is not None
    np.testing.assert_allclose(values.grad[0, :, 0], [*weights / weights.sum(), 0], rtol=1e-6)


def test_interpolation_of_fewer_than_three_points_is_finite_and_uses_those() -> None:
    points, values = torch.randn(1, 4, 3), torch.tensor([[[7.0], [3], [9], [9]]])
    one = torch.tensor([[False, True, False, False]])
    torch.testing.assert_close(interpolate(torch.randn(1, 5, 3), points, values, one), torch.full((1, 5, 1), 3.0))


def test_taking_rows_names_the_cloud() -> None:
    values = torch.arange(12.0).view(2, 3, 2)
    assert take(values, torch.tensor([[[2, 0]], [[1, 1]]])).tolist() == [[[[4, 5], [0, 1]]], [[[8, 9], [8, 9]]]]
