"""PointNet++'s layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from perception.clouds.grouping import farthest_points, take
from perception.encoders.pointnet2 import FeaturePropagation, Level, PointMLP, PointNet2, Sampled, SetAbstraction

LEVELS = (Level(32, 0.5, 8, (6, 8)), Level(16, 0.8, 8, (8, 10)), Level(8, 1.2, 4, (10, 12)))


def tiny() -> PointNet2:
    torch.manual_seed(0)
    return PointNet2(2, LEVELS, (9, 11)).eval()


def test_a_point_mlp_equals_the_papers_convolutions() -> None:
    ours = PointMLP((5, 7, 4))
    theirs = nn.Sequential(
        *(nn.Conv2d(5, 7, 1, bias=False), nn.BatchNorm2d(7), nn.ReLU()),
        *(nn.Conv2d(7, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
    )
    for layer, (linear, norm) in enumerate(zip(ours.linears, ours.norms, strict=True)):
        nn.init.uniform_(norm.get_parameter("weight"), -1, 1)
        nn.init.uniform_(norm.get_parameter("bias"), -1, 1)
        theirs[3 * layer].load_state_dict({"weight": linear.get_parameter("weight")[..., None, None]})
        theirs[3 * layer + 1].load_state_dict(norm.state_dict())
    x = torch.randn(2, 6, 3, 5)
    for training in (True, False):  # the first run also moves the running statistics of both
        expected = theirs.train(training)(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        torch.testing.assert_close(ours.train(training)(x), expected)


def test_set_abstraction_takes_the_maximum_over_each_ball() -> None:
    layer = SetAbstraction(2, 0.7, 100, (4, 5)).eval()
    points, features = torch.rand(1, 60, 3), torch.randn(1, 60, 2)
    out = layer(points[:, :6], points, features)
    for centre in range(6):
        near = (points[0] - points[0, centre]).norm(dim=-1) < 0.7
        relative = (points[0, near] - points[0, centre]) / 0.7
        expected = layer.mlp(torch.cat([relative, features[0, near]], dim=-1)).amax(0)
        torch.testing.assert_close(out[0, centre], expected)


def test_the_maximum_is_the_same_with_and_without_gradients() -> None:
    layer = SetAbstraction(2, 0.7, 9, (4, 5)).eval()
    points, features = torch.rand(1, 60, 3), torch.randn(1, 60, 2)
    with torch.inference_mode():
        alone = layer(points[:, :6], points, features)
    assert torch.equal(alone, layer(points[:, :6], points, features))


def test_propagation_to_the_coarse_points_keeps_their_features() -> None:
    layer = FeaturePropagation(3, 2, (4,)).eval()
    points, coarse, fine = torch.rand(1, 9, 3), torch.randn(1, 9, 3), torch.randn(1, 9, 2)
    torch.testing.assert_close(layer(points, fine, points, coarse), layer.mlp(torch.cat([coarse, fine], dim=-1)))


def test_seeds_are_the_farthest_points_at_the_second_levels_number() -> None:
    points = torch.rand(2, 200, 3)
    index, seeds, features = tiny()(points, torch.randn(2, 200, 2))
    assert torch.equal(index, farthest_points(points, 16))
    assert torch.equal(seeds, take(points, index))
    assert features.shape == (2, 16, 11)


def test_the_encoding_of_a_scene_does_not_depend_on_its_position_or_the_batch() -> None:
    encoder = tiny()
    points, features = torch.rand(2, 200, 3), torch.randn(2, 200, 2)
    _, _, together = encoder(points, features)
    _, _, alone = encoder(points[1:] + torch.tensor([8.0, -4.0, 2.0]), features[1:])
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-4)


def test_a_scene_of_fewer_points_than_centres_is_encoded() -> None:
    _, _, features = tiny()(torch.rand(1, 5, 3), torch.randn(1, 5, 2))
    assert features.isfinite().all()


def test_what_the_first_level_takes_can_be_computed_before() -> None:
    model, points, features = tiny(), torch.rand(2, 90, 3), torch.randn(2, 90, 2)
    sampled = model.sample(points)
    for given, computed in zip(model(points, features, sampled), model(points, features), strict=True):
        assert torch.equal(given, computed)
    elsewhere = Sampled(sampled.centres, torch.zeros_like(sampled.neighbours))
    assert not torch.equal(model(points, features, elsewhere)[2], model(points, features)[2])


def test_levels_must_shrink() -> None:
    with pytest.raises(ValueError, match=r"decreasing centres, got \[8, 16, 32\]"):
        PointNet2(2, LEVELS[::-1], (4, 4))
