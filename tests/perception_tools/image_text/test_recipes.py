"""Recipes of pictures with texts: the paper's numbers, and sizes that fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perception.errors import InputError
from perception_tools.image_text.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_in_its_bounds_and_survives_json(name: str) -> None:
    recipe = RECIPES[name]
    recipe.check()
    assert type(recipe).from_json(recipe.to_json()) == recipe


def test_the_papers_recipe_has_meters_numbers() -> None:
    vqa, retrieval = RECIPES["image-text/vqa-llama"], RECIPES["image-text/retrieval-llama"]
    assert (vqa.batch, vqa.passes, vqa.learning_rate, vqa.longest, retrieval.longest) == (512, 10, 5e-6, 50, 40)
    assert (vqa.optimizer.group_rates, retrieval.optimizer.group_rates) == (
        {"head": 50.0, "fusion": 5.0}, {"head": 5.0, "fusion": 5.0}
    )  # fmt: skip
    assert (vqa.optimizer.betas, vqa.optimizer.eps, vqa.weight_decay) == ((0.9, 0.98), 1e-8, 0.01)
    assert vqa.timm_schedule.warmup_passes == vqa.passes / 10
    assert vqa.block.learning_rate_multiplier == 10
    assert (vqa.block.residual, vqa.block.matched) == (False, False)
    assert (vqa.image_depth, vqa.text_depth, vqa.layers, vqa.dim, retrieval.false_captions) == (11, 12, 6, 768, 15)


def test_sizes_that_do_not_fit_are_refused() -> None:
    micro = RECIPES["image-text/vqa-micro"]
    with pytest.raises(InputError, match="multiple of patch=16, got 60; give 48"):
        replace(micro, picture=60).check()
    with pytest.raises(InputError, match="multiple of heads=5"):
        replace(micro, text_heads=5).check()
