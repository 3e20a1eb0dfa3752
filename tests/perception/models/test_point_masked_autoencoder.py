from __future__ import annotations

import pytest
import torch
from torch import Tensor

from perception.clouds.cloud import CloudInput
from perception.encoders.point_bert import PointBert, PointBertSize
from perception.encoders.vit import VitSize
from perception.losses.reconstruction import chamfer_distance
from perception.models.point_masked_autoencoder import PointMaskedAutoencoder, copy_of_nearest

SIZE = PointBertSize(VitSize(24, 2, 3), 16)
SEEDS = torch.tensor([0.0, 0.5, 0.999])


def autoencoder(ratio: float = 0.4) -> PointMaskedAutoencoder:
    torch.manual_seed(0)
    return PointMaskedAutoencoder(PointBert(SIZE, 10, 8), ratio, CloudInput(40)).eval()


def clouds() -> Tensor:
    return torch.randn(3, 60, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("ratio", "count"), [(0.4, 4), (0.0, 1), (1.0, 9)])
def test_a_block_of_neighbours_is_hidden(ratio: float, count: int) -> None:
    model = autoencoder(ratio)
    centres = model.encoder.group(clouds()).centres
    masked = model.hide(centres, SEEDS)
    assert masked.sum(1).tolist() == [count] * 3
    for centre, hidden, first in zip(centres, masked, (0, 5, 9), strict=True):
        distance = (centre - centre[first]).norm(dim=1)
        assert distance[hidden].max() <= distance[~hidden].min()
        assert hidden[first]


def test_the_points_of_hidden_groups_are_not_seen() -> None:
    model, points = autoencoder(), clouds()
    found = model(points, SEEDS)
    groups = model.encoder.group(points)
    changed = groups.points + found.masked[..., None, None] * torch.randn_like(groups.points)
    model.encoder.group = lambda _: type(groups)(groups.centres, changed)  # pyright: ignore[reportAttributeAccessIssue]
    again = model(points, SEEDS)
    assert torch.equal(found.predicted, again.predicted)
    assert not torch.equal(found.true, again.true)
    assert found.predicted.shape == found.true.shape == (12, 8, 3)


def test_all_of_the_model_learns() -> None:
    model = autoencoder().train()
    found = model(clouds(), SEEDS)
    chamfer_distance(found.predicted, found.true).mean().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == set()


def test_the_baseline_copies_the_nearest_visible_group() -> None:
    model = autoencoder()
    found = model(clouds(), SEEDS)
    copied = copy_of_nearest(found).unflatten(0, (3, 4))
    for cloud in range(3):
        hidden = found.masked[cloud].nonzero().squeeze(1)
        visible = (~found.masked[cloud]).nonzero().squeeze(1)
        centres = found.groups.centres[cloud]
        for row, group in enumerate(hidden):
            nearest = visible[(centres[visible] - centres[group]).norm(dim=1).argmin()]
            assert torch.equal(copied[cloud, row], found.groups.points[cloud, nearest])
