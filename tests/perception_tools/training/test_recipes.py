"""What all recipes share; those of each task are tested beside them."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

import pytest

from perception.errors import InputError
from perception_tools.training.recipes import BlockRecipe, LearningRecipe, OptimizerRecipe, ScheduleRecipe


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


def test_a_recipe_of_an_earlier_version_has_the_defaults_of_what_it_lacks() -> None:
    """What model files of the first version hold."""
    earlier = {"block": {"kind": "mlp", "learning_rate_multiplier": 0.1}, "passes": 7, "warmup_steps": 3, "width": 5}
    block = BlockRecipe(kind="mlp", learning_rate_multiplier=0.1)
    assert Recipe.from_json(earlier) == Recipe(block=block, passes=7, warmup_steps=3, width=5)


def test_nested_numbers_come_back_as_they_were() -> None:
    recipe = Recipe(
        optimizer=OptimizerRecipe(betas=(0.9, 0.98), group_rates={"head": 50.0}),
        schedule="timm-poly",
        timm_schedule=ScheduleRecipe(warmup_passes=1.0, warmup_prefix=True),
    )
    values = json.loads(json.dumps(recipe.to_json()))
    assert values == recipe.to_json(), "a run's folder is compared with what it was written from"
    assert Recipe.from_json(values) == recipe


@pytest.mark.parametrize("nested", ["block", "optimizer", "timm_schedule"])
def test_an_unknown_nested_field_is_refused(nested: str) -> None:
    values = Recipe().to_json()
    values[nested]["depth"] = 2
    with pytest.raises(InputError, match="'depth'"):
        Recipe.from_json(values)
