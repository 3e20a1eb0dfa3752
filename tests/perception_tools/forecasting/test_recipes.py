"""Forecasting recipes go to JSON and back and differ in what they say they do."""

from __future__ import annotations

import dataclasses
import json

import pytest

from perception.errors import InputError
from perception_tools.forecasting.recipes import DESCRIPTIONS, RECIPES, ForecastRecipe
from perception_tools.training.recipes import BlockRecipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_json(name: str) -> None:
    recipe = dataclasses.replace(RECIPES[name], seed=7, learning_rate=3e-4)
    assert ForecastRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    "values",
    [
        {**ForecastRecipe().to_json(), "attention": "more"},
        {"dim": 256},
        {**ForecastRecipe().to_json(), "block": {"kind": "none", "flavour": "vanilla"}},
    ],
)
def test_a_recipe_of_another_version_is_refused(values: dict) -> None:
    with pytest.raises(InputError, match="expected the fields of this version's ForecastRecipe"):
        ForecastRecipe.from_json(values)


def test_the_controls_differ_from_the_method_in_their_block_alone() -> None:
    method = RECIPES["forecast/vectornet-llama"]
    kinds = {name: recipe.block.kind for name, recipe in RECIPES.items()}
    assert kinds == {
        "forecast/vectornet": "none",
        "forecast/vectornet-llama": "language",
        "forecast/vectornet-mlp": "mlp",
        "forecast/vectornet-random": "random",
    }
    for name, recipe in RECIPES.items():
        assert dataclasses.replace(recipe, block=BlockRecipe()) == dataclasses.replace(method, block=BlockRecipe())
        assert dataclasses.replace(recipe.block, kind="language") == method.block, name


def test_every_recipe_has_its_line_of_help() -> None:
    assert DESCRIPTIONS.keys() == RECIPES.keys()
