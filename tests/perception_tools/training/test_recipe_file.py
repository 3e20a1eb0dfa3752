"""Recipes from YAML files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.forecasting.recipes import RECIPES as FORECAST
from perception_tools.scene_qa.recipes import RECIPES as SCENE_QA
from perception_tools.training.recipe_file import read_recipe
from perception_tools.training.recipes import BlockRecipe, LearningRecipe

RECIPES = {**FORECAST, **SCENE_QA}


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_file_changes_what_it_says_of_the_recipe_that_it_names(tmp_path: Path) -> None:
    text = """
learning_rate: 1e-3
recipe: scene-qa/rooms-llama
passes: 3
block:
  source: opt-125m
optimizer:
  betas: [0.9, 0.98]
  group_rates: {detector: 2}
schedule: timm-cosine
timm_schedule: {warmup_passes: 2}
"""
    name, recipe = read_recipe(write(tmp_path, text), RECIPES)
    known = SCENE_QA["scene-qa/rooms-llama"]
    assert name == "scene-qa/rooms-llama"
    assert recipe == replace(
        known,
        learning_rate=1e-3,
        passes=3,
        block=replace(known.block, source="opt-125m"),
        optimizer=replace(known.optimizer, betas=(0.9, 0.98), group_rates={"detector": 2.0}),
        schedule="timm-cosine",
        timm_schedule=replace(known.timm_schedule, warmup_passes=2.0),
    )
    assert recipe.grounded, "what the file leaves out is the named recipe's, not its class's"


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_alone_is_that_recipe(tmp_path: Path, name: str) -> None:
    assert read_recipe(write(tmp_path, f"recipe: {name}"), RECIPES) == (name, RECIPES[name])


def test_nested_values_of_the_named_recipe_stay(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Recipe(LearningRecipe):
        width: int = 3

    known = {"wide": Recipe(block=BlockRecipe(kind="mlp", bias=True), width=9)}
    _, recipe = read_recipe(write(tmp_path, "recipe: wide\nblock: {init: trunc_normal}"), known)
    assert recipe == Recipe(block=BlockRecipe(kind="mlp", bias=True, init="trunc_normal"), width=9)


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("recipe: forecast/vectornet\npases: 3", 2, "the file has no key 'pases'; did you mean passes?"),
        ("recipe: forecast/vectornet\n\nblock:\n  sorce: x", 4, "block has no key 'sorce'; did you mean source?"),
        (
            "recipe: forecast/vectornett",
            1,
            "recipe: there is no 'forecast/vectornett'; did you mean forecast/vectornet?",
        ),
        ("recipe: 3\npasses: 1", 1, "recipe: expected a text, found '3'"),
        ("passes: 3", 1, "the file: expected the key recipe; add it"),
        ("recipe: forecast/vectornet\npasses: 2.5", 2, "passes: expected a whole number, found '2.5'"),
        ("recipe: forecast/vectornet\nview: sceen", 2, "view: expected one of agent, scene, pairwise; found 'sceen'"),
        ("recipe: forecast/vectornet\nlearning_rate: fast", 2, "learning_rate: expected a number, found 'fast'"),
        ("recipe: forecast/vectornet\nblock: llama", 2, "block: expected keys and values, found 'llama'"),
        ("recipe: a\nrecipe: b", 2, "the key recipe is there twice"),
        ("- recipe", 1, "the file: expected keys and values, found a list"),
        ("recipe: [x", 1, "no YAML: "),
        ("", 1, "expected recipe, found nothing"),
    ],
)
def test_a_mistake_is_said_with_its_line(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_recipe(path, RECIPES)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert complaint in str(error.value)
