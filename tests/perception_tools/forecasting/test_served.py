"""The input of an exported forecaster, built without its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perception.encoders.vectornet.input import VectorizedInput
from perception.errors import InputError
from perception_nodes.exported.model_file import ExportedFile
from perception_tools.forecasting.model import build_forecaster
from perception_tools.forecasting.recipes import RECIPES, ForecastRecipe
from perception_tools.forecasting.served import input_of, served
from perception_tools.training.recipes import BlockRecipe


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].block.kind == "none"])
def test_it_is_the_input_of_the_model_that_was_built(name: str) -> None:
    recipe = replace(RECIPES[name], dim=16, heads=2, max_tokens=7)
    found, expected = input_of(recipe), build_forecaster(recipe, 30).input
    assert type(found) is type(expected)
    assert vars(found) == vars(expected)


def test_an_encoder_of_ones_own_is_built_for_its_input(own_encoder: str) -> None:
    recipe = ForecastRecipe(block=BlockRecipe(kind="none"), encoder=own_encoder, dim=16)
    found = input_of(recipe)
    assert type(found) is type(build_forecaster(recipe, 30).input)
    assert not isinstance(found, VectorizedInput)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, r"model\.onnx: it lacks 'recipe'; export the model again"),
        ({"recipe": None}, r"model\.onnx: it cannot be parsed .*; export the model again"),
        ({"recipe": {"nonsense": 1}}, "recipe: expected the fields of this version's ForecastRecipe"),
    ],
)
def test_a_file_that_does_not_say_how_it_was_built_is_refused(metadata: dict, message: str) -> None:
    class Closed:
        file = ExportedFile(Path("model.onnx"), metadata, ())

    with pytest.raises(InputError, match=message):
        served(Closed())  # pyright: ignore[reportArgumentType]
