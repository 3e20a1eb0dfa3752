"""VoteNet: its published sizes and properties of its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from perception.encoders.pointnet2 import Level
from perception.encoders.votenet import VoteNet, mean_box_sizes

LEVELS = (Level(32, 0.5, 8, (6, 8)), Level(16, 0.8, 8, (8, 10)), Level(8, 1.2, 4, (10, 12)))


def tiny(named_seeds: bool = False) -> VoteNet:
    torch.manual_seed(0)
    sizes = torch.tensor([[1.0, 2, 3], [0.5, 0.5, 0.5]])
    more = {"seed_dim": 12, "proposals": 6, "dim": 8, "neighbours": 4, "named_seeds": named_seeds}
    return VoteNet(2, sizes, levels=LEVELS, **more).eval()


@pytest.fixture
def scenes() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.rand(2, 150, 3, generator=generator), torch.randn(2, 150, 2, generator=generator)


def test_its_layers_have_the_published_widths() -> None:
    model = VoteNet(4, torch.ones(18, 3))
    shapes = {
        part: [tuple(layer.weight.shape)[::-1] for layer in module.modules() if isinstance(layer, nn.Linear)]
        for part, module in model.named_children()
    }
    assert shapes == {
        "backbone": [
            *((7, 64), (64, 64), (64, 128)),
            *((131, 128), (128, 128), (128, 256)),
            *((259, 128), (128, 128), (128, 256)),
            *((259, 128), (128, 128), (128, 256)),
            *((512, 256), (256, 256)),
            *((512, 256), (256, 256)),
        ],
        "vote": [(256, 256), (256, 256), (256, 259)],
        "cluster": [(259, 128), (128, 128), (128, 128)],
        "propose": [(128, 128), (128, 128), (128, 97)],
    }


def test_boxes_move_with_the_scene(scenes) -> None:
    model, shift = tiny(), torch.tensor([16.0, -8.0, 4.0])
    here, there = model(*scenes), model(scenes[0] + shift, scenes[1])
    torch.testing.assert_close(there.votes, here.votes + shift, rtol=0, atol=1e-4)
    torch.testing.assert_close(there.boxes[..., :3], here.boxes[..., :3] + shift, rtol=0, atol=1e-4)
    torch.testing.assert_close(there.boxes[..., 3:], here.boxes[..., 3:], rtol=1e-4, atol=1e-4)


def test_the_detections_of_a_scene_do_not_depend_on_the_batch(scenes) -> None:
    model = tiny()
    together, alone = model(*scenes), model(scenes[0][1:], scenes[1][1:])
    for name, value in vars(alone).items():
        if name not in ("mean_sizes", "seed_class_scores"):
            torch.testing.assert_close(getattr(together, name)[1:], value, msg=name)


def test_proposals_are_clusters_of_votes_with_finite_features(scenes) -> None:
    found = tiny()(*scenes)
    assert (torch.cdist(found.clusters, found.votes).amin(-1) < 1e-5).all()
    assert found.features.isfinite().all()
    assert torch.equal(found.seeds, scenes[0].gather(1, found.seed_index[..., None].expand(-1, -1, 3)))


def test_a_box_has_the_mean_size_of_its_most_probable_class_plus_the_residual(scenes) -> None:
    found = tiny()(*scenes)
    boxes, scores = found.boxes.detach().numpy(), found.size_scores.detach().numpy()
    means, residuals = found.mean_sizes.numpy(), found.size_residuals.detach().numpy()
    for scene in range(2):
        for proposal in range(6):
            kind = int(np.argmax(scores[scene, proposal]))
            size = means[kind] + residuals[scene, proposal, kind] * means[kind]
            np.testing.assert_allclose(boxes[scene, proposal, 3:], np.maximum(size, 0), rtol=1e-5)


def test_proposals_are_valid_if_they_are_objects_and_all_are_valid_if_none_is(scenes) -> None:
    found = tiny()(*scenes)
    objectness = torch.tensor([[[0.0, 1], [1, 0], [0, 2], [1, 0], [1, 0], [1, 0]], [[1.0, 0]] * 6])
    found = replace(found, objectness=objectness)
    assert found.valid.tolist() == [[True, False, True, False, False, False], [True] * 6]
    assert found.tokens.values is found.features


def test_class_probabilities_of_the_seeds_are_features_of_their_votes(scenes) -> None:
    model = tiny(named_seeds=True)
    assert model.name is not None
    found = model(*scenes)
    assert found.seed_class_scores is not None
    assert found.seed_class_scores.shape == (2, 16, 2)
    model.name.bias.data += torch.tensor([20.0, 0.0])
    renamed = model(*scenes)
    assert torch.equal(renamed.clusters, found.clusters)
    assert not torch.allclose(renamed.class_scores, found.class_scores)
    assert tiny()(*scenes).seed_class_scores is None


@pytest.mark.parametrize("named_seeds", [False, True])
def test_every_parameter_learns(scenes, named_seeds: bool) -> None:
    model = tiny(named_seeds).train()
    found = model(*scenes)
    outputs = [found.votes, found.features, found.objectness, found.centres, found.heading, found.size_scores]
    outputs += [found.size_residuals, found.class_scores]
    torch.stack([(out * torch.randn_like(out)).sum() for out in outputs]).sum().backward()
    silent = [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert silent == []


def test_mean_sizes_are_per_class_or_of_all_boxes_for_an_empty_class() -> None:
    sizes = torch.tensor([[1.0, 2, 3], [3, 2, 1], [8, 8, 8]])
    boxes = torch.cat([torch.full((3, 3), 9.0), sizes], dim=1)
    expected = torch.tensor([[2.0, 2, 2], [4, 4, 4], [8, 8, 8]])
    assert torch.equal(mean_box_sizes(boxes, torch.tensor([0, 0, 2]), 3), expected)
