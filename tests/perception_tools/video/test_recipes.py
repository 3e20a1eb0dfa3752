"""Recipes have the paper's numbers, go to JSON and back, and controls differ from the method in one thing."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from perception.errors import InputError
from perception_tools.training.optim import LearningRate
from perception_tools.video.recipes import DESCRIPTIONS, RECIPES, ActionRecipe, ClipAugmentation

PAPER = [name for name in RECIPES if "/ssv2-" in name]


@pytest.mark.parametrize("name", PAPER)
def test_every_published_recipe_has_the_papers_numbers(name: str) -> None:
    """Pang et al., §C.3, and the scripts of the authors' code."""
    recipe, is_base = RECIPES[name], "ssv2-b" in name
    assert (recipe.batch, recipe.passes, recipe.size) == ((12, 30, "base") if is_base else (24, 40, "small"))
    assert recipe.learning_rate == pytest.approx(2.34375e-5 if is_base else 9.375e-5)
    assert recipe.optimizer.layer_decay == (0.75 if is_base else 0.7)
    assert recipe.timm_schedule.min_lr == pytest.approx(1e-6 * recipe.batch / 256)
    assert (recipe.images, recipe.tubelet, recipe.picture, recipe.patch) == (16, 2, 224, 16)
    assert (recipe.weight_decay, recipe.drop_path, recipe.gradient_clip, recipe.average_decay) == (0.05, 0.1, 0, 0)
    assert (recipe.optimizer.opt, recipe.optimizer.betas) == ("adamw", (0.9, 0.999))
    changes, mixup = recipe.augmentation, recipe.mixup
    assert (changes.auto_augment, changes.scale, changes.views) == ("rand-m7-n4-mstd0.5-inc1", 0.08, 2)
    assert (changes.erasing, changes.erasing_mode, changes.mirror) == (0.25, "pixel", 0)
    assert (mixup.mixup_alpha, mixup.cutmix_alpha, mixup.label_smoothing) == (0.8, 1.0, 0.1)
    assert (recipe.block.init, recipe.block.residual, recipe.block.matched) == (
        ("default", False, False) if recipe.block.kind != "none" else (recipe.block.init, False, False)
    )


@pytest.mark.parametrize("name", ["video/ssv2-s-llama", "video/ssv2-b"])
def test_the_rate_of_every_step_is_that_of_videomaes_schedule(name: str) -> None:
    recipe, steps = RECIPES[name], 7
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate)
    total, warmup = recipe.passes * steps, 5 * steps
    rate, low, high = LearningRate(optimizer, recipe, total), 1e-6 * recipe.batch / 256, recipe.learning_rate
    for step in range(total):
        rate.set_step(step)
        expected = high * step / warmup  # theirs reaches the peak one step earlier
        if step >= warmup:
            expected = low + 0.5 * (high - low) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-9, abs=1e-15), step


def test_the_block_of_the_papers_text_is_the_last_and_that_of_its_code_is_layer_15() -> None:
    last, middle = RECIPES["video/ssv2-s-llama"], RECIPES["video/ssv2-s-llama-15"]
    assert (last.block.source, middle.block.source) == ("smollm2", "smollm2#15")
    assert replace(middle, block=replace(middle.block, source="smollm2")) == last


@pytest.mark.parametrize("size", ["micro", "ssv2-s", "ssv2-b"])
def test_controls_differ_from_the_method_in_the_block_alone(size: str) -> None:
    method = RECIPES[f"video/{size}-llama"]
    for suffix, kind in (("", "none"), ("-mlp", "mlp"), ("-random", "random")):
        control = RECIPES[f"video/{size}{suffix}"]
        assert control.block.kind == kind
        assert replace(control, block=replace(control.block, kind="language")) == method


@pytest.mark.parametrize("name", ["video/pretrain-ssv2-s", "video/pretrain-ssv2-b"])
def test_pre_training_has_videomaes_numbers(name: str) -> None:
    recipe = RECIPES[name]
    assert (recipe.mask_ratio, recipe.batch, recipe.passes) == (0.9, 1024, 2400)
    assert (recipe.learning_rate, recipe.optimizer.betas) == (pytest.approx(6e-4), (0.9, 0.95))
    assert (recipe.augmentation.mirror, recipe.augmentation.auto_augment, recipe.block.kind) == (0, "", "none")


def test_only_pre_training_hides_parts() -> None:
    assert {name for name, recipe in RECIPES.items() if recipe.mask_ratio} == {n for n in RECIPES if "/pretrain-" in n}


def test_recipes_go_to_json_and_back_are_described_and_hold() -> None:
    assert RECIPES.keys() == DESCRIPTIONS.keys()
    for recipe in RECIPES.values():
        recipe.check()
        assert ActionRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"picture": 50}, "picture: expected a multiple of 16.*--picture 48"),
        ({"images": 7}, "images: expected a multiple of 2"),
        ({"batch": 3, "augmentation": ClipAugmentation(views=1)}, "clips are mixed in pairs"),
        ({"batch": 3, "accumulate": 2}, "clips are mixed in pairs"),
        ({"rows_at_once": -1}, "rows_at_once"),
        ({"augmentation": ClipAugmentation(scale=0.0)}, "scale"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(RECIPES["video/ssv2-s"], **changes).check()
    replace(RECIPES["video/ssv2-s"], batch=3).check()  # two copies of each make pairs
