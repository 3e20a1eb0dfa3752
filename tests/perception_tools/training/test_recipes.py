"""What all recipes share; those of each task are tested beside them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import pytest

from perception.errors import InputError
from perception_tools.training.recipes import BlockRecipe, LearningRecipe


@dataclass(frozen=True)
class Recipe(LearningRecipe):
    """A task's own."""

    width: int = 3


def test_a_tasks_recipe_comes_back_with_its_own_fields_and_its_block() -> None:
    recipe = Recipe(block=BlockRecipe(kind="mlp"), passes=2, width=5)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_an_unknown_field_is_named_with_the_class_that_lacks_it() -> None:
    with pytest.raises(InputError, match=r"fields of this version's Recipe, .*'depth'"):
        Recipe.from_json({**dataclasses.asdict(Recipe()), "depth": 2})
