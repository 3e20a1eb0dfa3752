from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image

from perception.errors import InputError
from perception_tools.training.augmentation import seeded, timm_changes


def seed_all() -> None:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_same_seed_gives_the_same_changes_and_leaves_the_generators_alone() -> None:
    change, finish = timm_changes(16, "rand-m9-n2-mstd0.5-inc1", 0.0, 0.5, "pixel")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    seed_all()
    undisturbed = drawn()
    seed_all()
    made = []
    for seed in (1, 1, 2):
        with seeded(seed):
            made.append(finish(change(picture)))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert drawn() == undisturbed


@pytest.mark.parametrize("word", ["what", "rand-q9", "rand-m9-nx3"])
def test_an_augmentation_that_timm_does_not_know_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="auto_augment: expected a string that timm knows"):
        timm_changes(16, word, 0.0, 0.0, "pixel")
