"""Mixing a toy batch: eight images of one colour each, four classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from perception.errors import InputError
from perception_tools.training.mixup import BatchMixup
from perception_tools.training.recipes import MixupRecipe

LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
DEIT = MixupRecipe(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1)


def images(*axes: int) -> Tensor:
    """Every pixel of image i is i."""
    return torch.arange(8.0).view(8, *(1 for _ in axes)).expand(8, *axes).clone()


def one_hot(labels: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(labels, 4).float()


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_mixup_mixes_targets_as_it_mixes_images(mode: Any) -> None:
    mixed, targets = BatchMixup(MixupRecipe(mixup_alpha=0.8, mixup_mode=mode), 4)(images(3, 6, 6), LABELS, seed=5)
    own, other = torch.arange(8.0), torch.arange(8.0).flip(0)
    ratio = (mixed[:, 0, 0, 0] - other) / (own - other)
    assert bool(((ratio >= 0) & (ratio <= 1)).all())
    assert not bool((ratio == 1).all())
    torch.testing.assert_close(
        targets, ratio[:, None] * one_hot(LABELS) + (1 - ratio)[:, None] * one_hot(LABELS.flip(0))
    )


@pytest.mark.parametrize("axes", [(3, 8, 8), (3, 4, 8, 8)], ids=["images", "clips"])
def test_cutmix_weighs_targets_by_area_and_cuts_all_images_of_a_clip_alike(axes: tuple[int, ...]) -> None:
    mixed, targets = BatchMixup(MixupRecipe(cutmix_alpha=1.0), 4)(images(*axes), LABELS, seed=3)
    assert mixed.shape == (8, *axes)
    flat = mixed.flatten(1, -3)
    assert bool((flat == flat[:, :1]).all())
    kept = (flat[:, 0] == torch.arange(8.0)[:, None, None]).float().mean((1, 2))
    assert 0 < float(kept[0]) < 1
    torch.testing.assert_close(targets, kept[:, None] * one_hot(LABELS) + (1 - kept)[:, None] * one_hot(LABELS.flip(0)))


def test_the_draw_is_a_function_of_the_seed_and_leaves_numpys_generator_alone() -> None:
    mix = BatchMixup(DEIT, 4)
    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    draws = [mix(images(3, 8, 8), LABELS, seed) for seed in (1, 1, 2, 2**40)]
    assert np.random.rand() == expected
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])
    assert not torch.equal(draws[0][1], draws[2][1])


def test_switched_off_it_smooths_labels_alone_also_of_an_odd_batch() -> None:
    records = images(3, 4, 4)[:7]
    mixed, targets = BatchMixup(MixupRecipe(label_smoothing=0.2), 4)(records, LABELS[:7], seed=0)
    assert torch.equal(mixed, images(3, 4, 4)[:7])
    torch.testing.assert_close(targets, 0.8 * one_hot(LABELS[:7]) + 0.05)


def test_a_toy_task_learns_from_mixed_batches() -> None:
    torch.manual_seed(0)
    model, mix = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 4)), BatchMixup(DEIT, 4)
    bright = torch.zeros(8, 3, 4, 4)
    for number, label in enumerate(LABELS):
        bright[number, :, label] = 1.0
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for step in range(60):
        mixed, targets = mix(bright.clone(), LABELS, seed=step)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(mixed), targets).backward()
        optimizer.step()
    assert torch.equal(model(bright).argmax(1), LABELS)


def test_an_odd_batch_is_refused() -> None:
    with pytest.raises(InputError, match="expected an even number of records in a batch, got 7"):
        BatchMixup(DEIT, 4)(images(3, 4, 4)[:7], LABELS[:7], seed=0)
