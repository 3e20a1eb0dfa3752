"""Recipes go to JSON and back, and controls differ from the method in one thing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.main import main
from perception_tools.scene_qa.recipes import DESCRIPTIONS, RECIPES, SceneQaRecipe
from perception_tools.scene_qa.run import SceneQaRun
from perception_tools.training.recipes import BlockRecipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_json(name: str) -> None:
    recipe = dataclasses.replace(RECIPES[name], seed=7, legacy_color=True)
    assert SceneQaRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("values", [{**SceneQaRecipe().to_json(), "attention": "more"}, {"dim": 256}])
def test_a_recipe_of_another_version_is_refused(values: dict) -> None:
    with pytest.raises(InputError, match="expected the fields of this version's SceneQaRecipe"):
        SceneQaRecipe.from_json(values)


@pytest.mark.parametrize("data", ["sqa3d", "rooms"])
def test_the_controls_differ_from_the_method_in_their_block_alone(data: str) -> None:
    method = RECIPES[f"scene-qa/{data}-llama"]
    for suffix, kind in {"": "none", "-llama": "language", "-mlp": "mlp", "-random": "random"}.items():
        recipe = RECIPES[f"scene-qa/{data}{suffix}"]
        assert recipe.block.kind == kind
        assert dataclasses.replace(recipe, block=BlockRecipe()) == dataclasses.replace(method, block=BlockRecipe())
        assert dataclasses.replace(recipe.block, kind="language") == method.block


def test_the_published_recipe_has_the_papers_numbers() -> None:
    recipe = RECIPES["scene-qa/sqa3d-llama"]
    assert (recipe.dim, recipe.passes, recipe.schedule) == (768, 30, "steps")
    assert recipe.scenes * recipe.questions_per_scene == 32
    assert (recipe.points, recipe.proposals, recipe.answer_loss, recipe.grounded) == (40_000, 256, "binary", False)


def test_every_recipe_has_its_line_of_help() -> None:
    assert DESCRIPTIONS.keys() == RECIPES.keys()


def test_a_word_and_its_options_are_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[SceneQaRun] = []
    monkeypatch.setattr("perception_tools.training.fit.fit", runs.append)
    words = "train scene-qa/rooms --data in --out out --blind --without-situation --legacy-color --no-detection-loss"
    assert main([*words.split(), *"--answers dict.json --word-vectors glove.txt --passes 3".split()]) == 0
    recipe = dataclasses.replace(
        RECIPES["scene-qa/rooms"],
        blind=True,
        without_situation=True,
        legacy_color=True,
        detection_loss=False,
        passes=3,
    )
    expected = SceneQaRun(data=Path("in"), out=Path("out"), recipe=recipe, name="scene-qa/rooms")
    assert runs == [dataclasses.replace(expected, answers=Path("dict.json"), word_vectors=Path("glove.txt"))]
