"""Recipes have the paper's numbers, go to JSON and back, and controls differ from the method in one thing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from perception.errors import InputError
from perception_tools.points.learning import PointTask
from perception_tools.points.model import build_classifier
from perception_tools.points.recipes import DESCRIPTIONS, RECIPES, AugmentationRecipe, PointRecipe
from perception_tools.training.optim import LearningRate, parameter_groups
from perception_tools.training.recipes import BlockRecipe, MixupRecipe

SETS = ("modelnet40-1k", "modelnet40-4k", "modelnet40-8k", "scanobjectnn-bg", "scanobjectnn-only", "scanobjectnn-t50")


def test_every_cell_of_table_2_has_a_recipe() -> None:
    names = {f"points/{name}{block}" for name in SETS for block in ("", "-llama", "-mlp", "-random", "-random-ft")}
    codes = {f"points/{name}{block}-code" for name in SETS for block in ("", "-llama")}
    micro = {f"points/micro{block}" for block in ("", "-llama", "-mlp", "-random")}
    pretraining = {"points/pretrain-shapenet55", "points/pretrain-micro"}
    assert RECIPES.keys() == names | codes | micro | pretraining == DESCRIPTIONS.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_sound_and_comes_back_from_json(name: str) -> None:
    recipe = RECIPES[name]
    recipe.check()
    assert PointRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("name", [*SETS, "micro"])
def test_controls_differ_from_the_method_in_the_block_alone(name: str) -> None:
    plain = RECIPES[f"points/{name}"]
    for suffix, kind in (("", "none"), ("-llama", "language"), ("-mlp", "mlp"), ("-random", "random")):
        recipe = RECIPES[f"points/{name}{suffix}"]
        assert replace(recipe, block=plain.block) == plain
        assert recipe.block.kind == kind


@pytest.mark.parametrize(
    ("name", "points", "groups", "oversample"),
    [
        ("modelnet40-1k", 1024, 64, 1200),
        ("modelnet40-4k", 4096, 256, 4800),
        ("modelnet40-8k", 8192, 512, 8192),
        ("scanobjectnn-t50", 2048, 128, 2400),
    ],
)
def test_sizes_are_point_berts(name: str, points: int, groups: int, oversample: int) -> None:
    recipe = RECIPES[f"points/{name}"]
    assert (recipe.points, recipe.groups, recipe.group_size) == (points, groups, 32)
    assert recipe.augmentation.oversample == oversample
    assert recipe.scaling == ("none" if "scan" in name else "unit-sphere")


def rates(name: str) -> dict[str, tuple[Any, float]]:
    """Name of a group → rate and decay, of a small model under the recipe's optimiser."""
    block = replace(RECIPES[name].block, source="random:32x48x4?seed=0")
    recipe = replace(RECIPES[name], size="micro", groups=4, block=block)
    model = build_classifier(recipe, 3)
    task = PointTask(recipe, model, 3)
    groups = parameter_groups(model, task.parameter_groups(), recipe)
    return {group["name"]: (pytest.approx(group["lr"]), group["weight_decay"]) for group in groups}


def test_the_paper_and_its_code_have_different_rates() -> None:
    assert rates("points/modelnet40-1k-llama") == {
        "rest": (5e-4, 0.05),
        "no_decay/no_decay": (5e-4, 0.0),
        "block": (5e-5, 0.05),
    }
    assert rates("points/modelnet40-1k-llama-code") == {
        "rest": (5e-4, 0.05),
        "no_decay/no_decay": (5e-5, 0.0),
        "block": (2.5e-4, 0.0),
    }
    assert rates("points/modelnet40-1k-code") == {"rest": (5e-4, 0.05), "no_decay/no_decay": (5e-5, 0.0)}


def test_positions_of_the_class_token_decay_as_in_the_code() -> None:
    recipe = replace(RECIPES["points/modelnet40-1k"], size="micro", groups=4)
    model = build_classifier(recipe, 3)
    groups = parameter_groups(model, PointTask(recipe, model, 3).parameter_groups(), recipe)
    decayed = {id(p) for group in groups for p in group["params"] if group["weight_decay"]}
    named = dict(model.encoder.named_parameters())
    assert id(named["cls_pos"]) in decayed
    assert id(named["cls_token"]) not in decayed


def test_the_rate_is_stepped_by_pass_and_lags_by_one() -> None:
    recipe = RECIPES["points/modelnet40-1k"]
    optimizer = torch.optim.AdamW(nn.Linear(1, 1).parameters(), lr=recipe.learning_rate)
    rate, seen = LearningRate(optimizer, recipe, total=301 * 2), []
    for step in range(0, 602, 2):
        rate.set_step(step)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen[0] == seen[1] == pytest.approx(1e-6)
    assert max(seen) < 5e-4  # the warm-up of 10 passes hides the beginning of the cosine
    assert seen[11] == max(seen)
    assert seen[300] == pytest.approx(1e-6, rel=0.1)


def test_numbers_that_do_not_go_together_are_refused() -> None:
    recipe = RECIPES["points/micro"]
    with pytest.raises(InputError, match=r"expected at least points=192, got 100; give --augmentation.oversample 230"):
        replace(recipe, augmentation=AugmentationRecipe(oversample=100)).check()
    with pytest.raises(InputError, match="mixup: expected alphas of 0"):
        replace(recipe, mixup=MixupRecipe(mixup_alpha=0.2)).check()
    assert recipe.block == BlockRecipe(kind="none")
