"""Recipes have the paper's numbers, go to JSON and back, and controls differ from the method in one thing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler

from perception.errors import InputError
from perception_tools.image.recipes import DEIT_MIXUP, DESCRIPTIONS, RECIPES, ImageRecipe
from perception_tools.image.run import ImageRun
from perception_tools.main import main
from perception_tools.training.optim import LearningRate
from perception_tools.training.recipes import BlockRecipe

PAPER = [name for name in RECIPES if "micro" not in name]


@pytest.mark.parametrize("name", PAPER)
def test_every_published_recipe_has_the_papers_numbers(name: str) -> None:
    """Pang et al., §4.1 and §C.1, and the defaults of the authors' code."""
    recipe = RECIPES[name]
    assert (recipe.learning_rate, recipe.batch, recipe.weight_decay) == (1e-3, 1024, 0.05)
    assert recipe.passes == (100 if name.endswith("-100") else 300)
    assert (recipe.picture, recipe.patch, recipe.crop_pct, recipe.drop_path) == (224, 16, 0.875, 0.1)
    assert (recipe.position, recipe.pooling, recipe.precision) == ("tail", "cls", "16-mixed")
    optimizer = recipe.optimizer
    assert (optimizer.opt, optimizer.betas, optimizer.eps) == ("adamw", (0.9, 0.999), 1e-8)
    assert (recipe.gradient_clip, recipe.average_decay, recipe.validate_average) == (0.0, 0.99996, False)
    mixup = recipe.mixup
    assert (mixup.mixup_alpha, mixup.cutmix_alpha, mixup.label_smoothing) == (0.8, 1.0, 0.1)
    assert (mixup.mixup_prob, mixup.mixup_switch_prob, mixup.mixup_mode) == (1.0, 0.5, "batch")
    changes = recipe.augmentation
    assert (changes.auto_augment, changes.repeats, changes.scale) == ("rand-m9-mstd0.5-inc1", 3, 0.08)
    assert (changes.erasing, changes.erasing_mode, changes.color_jitter) == (0.25, "pixel", 0.4)


@pytest.mark.parametrize("name", ["image/vit-s-llama", "image/vit-t-llama-100"])
def test_the_rate_of_every_pass_is_the_one_that_deits_loop_gives(name: str) -> None:
    """DeiT makes timm's scheduler in epochs, and calls `step(epoch)` after each."""
    recipe, steps = RECIPES[name], 5
    ours, theirs = (torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate) for _ in range(2))
    scheduler = CosineLRScheduler(
        theirs, t_initial=recipe.passes, lr_min=1e-5, warmup_lr_init=1e-6, warmup_t=20, cycle_limit=1, t_in_epochs=True
    )
    rate = LearningRate(ours, recipe, recipe.passes * steps)
    rates = []
    for epoch in range(recipe.passes):
        for step in range(steps):
            rate.set_step(epoch * steps + step)
            assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12), (epoch, step)
        rates.append(ours.param_groups[0]["lr"])
        scheduler.step(epoch)
    assert rates[0] == rates[1] == 1e-6
    if recipe.passes == 300:
        assert max(rates) == rates[21] == pytest.approx(0.989e-3, abs=1e-6)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_json_and_can_be_used(name: str) -> None:
    RECIPES[name].check()
    recipe = replace(RECIPES[name], seed=7, position="middle")
    assert ImageRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("size", ["micro", "t", "s", "b"])
def test_the_controls_differ_from_the_method_in_their_block_alone(size: str) -> None:
    method = RECIPES[f"image/vit-{size}-llama"]
    for suffix, kind, frozen in (
        ("", "none", True),
        ("-mlp", "mlp", True),
        ("-random", "random", True),
        ("-llama-ft", "language", False),
        ("-random-ft", "random", False),
    ):
        recipe = RECIPES[f"image/vit-{size}{suffix}"]
        assert (recipe.block.kind, recipe.block.frozen) == (kind, frozen)
        assert replace(recipe, block=BlockRecipe()) == replace(method, block=BlockRecipe())
        assert replace(recipe.block, kind="language", frozen=True) == method.block


def test_the_published_block_is_that_of_the_authors_image_code() -> None:
    block = RECIPES["image/vit-s-llama"].block
    assert (block.init, block.bias, block.post_norm) == ("trunc_normal", False, "unit_rms")
    assert (block.matched, block.residual) == (False, False)


def test_the_short_recipes_differ_in_their_length_alone() -> None:
    short = [name for name in RECIPES if name.endswith("-100")]
    assert len(short) == 3 * 6
    for name in short:
        assert replace(RECIPES[name], passes=300) == RECIPES[name.removesuffix("-100")]


def test_every_recipe_has_its_line_of_help() -> None:
    assert DESCRIPTIONS.keys() == RECIPES.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"picture": 30}, r"picture: expected a multiple of patch=8, got 30; give --picture 24"),
        ({"picture": 2}, r"give --picture 8"),
        ({"batch": 127}, "batch: expected a multiple of 2, because pictures are mixed in pairs"),
        ({"batch": 6, "accumulate": 2}, "in each of accumulate=2 parts of a step, got 6"),
        ({"crop_pct": 0.0}, "crop_pct: expected a number above 0, up to 1, got 0.0"),
        ({"drop_path": 1.0}, "drop_path: expected"),
        ({"augmentation": replace(RECIPES["image/vit-micro"].augmentation, scale=1.5)}, "augmentation.scale: expected"),
        ({"augmentation": replace(RECIPES["image/vit-micro"].augmentation, repeats=0)}, "augmentation.repeats: expe"),
        ({"weight_decay": -1.0}, "weight_decay: expected"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused_before_anything_is_read(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(RECIPES["image/vit-micro"], **{"mixup": DEIT_MIXUP, **change}).check()


def test_an_odd_batch_is_fine_where_nothing_is_mixed() -> None:
    recipe = RECIPES["image/vit-micro"]
    replace(recipe, batch=7, mixup=replace(DEIT_MIXUP, mixup_alpha=0.0, cutmix_alpha=0.0)).check()


def test_a_block_that_is_trained_is_held_in_float32() -> None:
    recipe = RECIPES["image/vit-micro-llama"]
    replace(recipe, block=replace(recipe.block, dtype="bfloat16")).check()
    with pytest.raises(InputError, match=r"block.dtype: expected float32 for a block that is trained, got bfloat16"):
        replace(recipe, block=replace(recipe.block, dtype="bfloat16", frozen=False)).check()


def test_a_word_and_its_options_are_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[ImageRun] = []
    monkeypatch.setattr("perception_tools.training.fit.fit", runs.append)
    words = "train image/vit-micro --data in --out out --held-out 0.1 --position head --repeats 2"
    assert main([*words.split(), *"--cutmix-alpha 0.5 --classes c.txt --passes 3".split()]) == 0
    recipe = RECIPES["image/vit-micro"]
    recipe = replace(
        recipe,
        position="head",
        passes=3,
        augmentation=replace(recipe.augmentation, repeats=2),
        mixup=replace(recipe.mixup, cutmix_alpha=0.5),
    )
    expected = ImageRun(data=Path("in"), out=Path("out"), recipe=recipe, name="image/vit-micro", held_out=0.1)
    assert runs == [replace(expected, classes=Path("c.txt"))]
