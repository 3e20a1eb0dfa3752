from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image

from perception.errors import InputError
from perception_tools.training.augmentation import rand_augment, seeded, timm_changes


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


def test_pictures_with_texts_are_changed_twice_with_a_strength_of_nine_of_thirty_and_never_inverted() -> None:
    change = rand_augment("rand-m3-n2-p1")
    ops = {op.name: op for op in change.ops}  # pyright: ignore[reportAttributeAccessIssue]  # timm's RandAugment
    assert len(ops) == 14
    assert "Invert" not in ops
    assert change.num_layers == 2  # pyright: ignore[reportAttributeAccessIssue]
    assert {op.prob for op in ops.values()} == {1}
    strength = 9 / 30
    for name, expected in (
        ("Rotate", 30 * strength), ("ShearX", 0.3 * strength), ("Solarize", int(256 * strength)),
        ("Color", 0.1 + 1.8 * strength), ("TranslateX", 100 * strength),
    ):  # fmt: skip
        (value,) = ops[name].level_fn(ops[name].magnitude, ops[name].hparams)
        assert abs(value) == pytest.approx(expected), name


def test_a_string_that_is_no_randaugment_is_refused() -> None:
    for word in ("nothing", "rand-q9"):
        with pytest.raises(InputError, match="auto_augment: expected a string of timm's RandAugment"):
            rand_augment(word)
