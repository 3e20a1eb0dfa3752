"""What is trained, how fast, and what a checkpoint holds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from perception.errors import InputError
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.model import build_forecaster
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.lightning_task import learning_rate_factor, parameter_groups
from perception_tools.training.recipes import BlockRecipe


def test_parameter_groups_hold_every_trained_parameter_once_and_no_frozen_one(tiny_recipe: ForecastRecipe) -> None:
    model = build_forecaster(tiny_recipe, 5)
    grouped = [id(p) for group in parameter_groups(model, tiny_recipe) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    frozen = {id(p) for name, p in model.named_parameters() if name.startswith("block.blocks.")}
    assert frozen
    assert not frozen & set(grouped)


def test_matrices_decay_and_the_projections_have_their_own_learning_rate(tiny_recipe: ForecastRecipe) -> None:
    block = replace(tiny_recipe.block, learning_rate_multiplier=0.1, bias=True)
    recipe = replace(tiny_recipe, block=block, learning_rate=1e-2, weight_decay=0.3)
    model = build_forecaster(recipe, 5)
    names = {id(p): name for name, p in model.named_parameters()}
    for group in parameter_groups(model, recipe):
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert group["lr"] == pytest.approx(1e-3 if name.startswith("block.project") else 1e-2), name
            assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0), name
    assert {group["lr"] for group in parameter_groups(model, recipe)} == {1e-2 * 0.1, 1e-2}


def test_a_block_that_is_not_frozen_is_trained(tiny_recipe: ForecastRecipe) -> None:
    recipe = replace(tiny_recipe, block=replace(tiny_recipe.block, frozen=False))
    model = build_forecaster(recipe, 5)
    grouped = {id(p) for group in parameter_groups(model, recipe) for p in group["params"]}
    of_block = {id(p) for name, p in model.named_parameters() if name.startswith("block.blocks.")}
    assert of_block
    assert of_block <= grouped


def make_task(recipe: ForecastRecipe) -> ForecastTask:
    return ForecastTask(recipe, build_forecaster(recipe, 5))


@pytest.mark.parametrize(
    ("step", "warmup", "total", "expected"),
    [
        (0, 10, 100, 0.1),
        (4, 10, 100, 0.5 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 0.04)))),
        (50, 10, 100, 0.01 + 0.99 * 0.5),
        (100, 10, 100, 0.01),
        (250, 10, 100, 0.01),
        (0, 0, 100, 1.0),
        (0, 1, 0, 1.0),
    ],
)
def test_the_learning_rate_warms_up_and_follows_a_cosine(step: int, warmup: int, total: int, expected: float) -> None:
    assert learning_rate_factor(step, warmup, total) == pytest.approx(expected)


def test_a_checkpoint_holds_no_frozen_weights_and_comes_back_strictly(tiny_recipe: ForecastRecipe) -> None:
    task = make_task(tiny_recipe)
    checkpoint: dict = {"state_dict": task.state_dict()}
    task.on_save_checkpoint(checkpoint)
    saved = dict(checkpoint["state_dict"])
    frozen = {name for name in task.state_dict() if name.startswith("model.block.blocks.")}
    assert frozen
    assert saved.keys() == task.state_dict().keys() - frozen
    other = make_task(replace(tiny_recipe, seed=5))
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"], strict=True)
    assert all(torch.equal(other.state_dict()[name], value) for name, value in saved.items())


@pytest.mark.parametrize("block", [BlockRecipe(source="random:32x48x4?seed=1"), BlockRecipe(kind="none")])
def test_a_checkpoint_is_refused_around_another_block(tiny_recipe: ForecastRecipe, block: BlockRecipe) -> None:
    checkpoint: dict = {}
    make_task(tiny_recipe).on_save_checkpoint(checkpoint)
    with pytest.raises(InputError, match="it was trained around the block random:32x48x4"):
        make_task(replace(tiny_recipe, block=block)).on_load_checkpoint(checkpoint)
