"""What all recipes share; those of each task are tested beside them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from perception.errors import InputError
from perception_tools.tasks import all_tasks, task_of_recipe
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


def numbers_of(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Where each number of a recipe is, and its value."""
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if dataclasses.is_dataclass(value):
            yield from numbers_of(value, (*path, field.name))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, field.name), value


def put(values: Any, path: tuple[str, ...], number: float) -> Any:
    name, *rest = path
    return dataclasses.replace(values, **{name: put(getattr(values, name), tuple(rest), number) if rest else number})


@pytest.mark.parametrize("name", ["forecast/vectornet", "scene-qa/rooms"])
def test_every_number_of_every_recipe_has_bounds(name: str) -> None:
    recipe = task_of_recipe(name).recipes[name]
    paths = list(numbers_of(recipe))
    assert len(paths) > 25
    for path, value in paths:
        wrong = [-1, math.nan, math.inf] if isinstance(value, float) else [-1]
        for number in wrong:
            with pytest.raises(InputError, match=rf"^{re.escape('.'.join(path))}: expected a number .*, got {number}"):
                put(recipe, path, number).check()


def test_every_recipe_is_in_bounds() -> None:
    for task in all_tasks():
        for recipe in task.recipes.values():
            recipe.check()


@pytest.mark.parametrize("field", ["passes", "batch_scenarios", "modes", "dim", "heads", "max_tokens"])
def test_there_is_no_training_with_none_of_what_it_needs(field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: expected a number .*, got 0; choose such a number$"):
        put(task_of_recipe("forecast/vectornet").recipes["forecast/vectornet"], (field,), 0).check()


@pytest.mark.parametrize("name", ["forecast/vectornet", "scene-qa/rooms"])
def test_heads_share_the_width_evenly_and_near_widths_are_named(name: str) -> None:
    recipe: Any = task_of_recipe(name).recipes[name]
    with pytest.raises(InputError, match=r"^dim: expected a multiple of heads=8, got 100; give --dim 96 or 104, or"):
        dataclasses.replace(recipe, dim=100, heads=8).check()


def test_an_encoder_of_ones_own_may_have_any_width() -> None:
    recipe: Any = task_of_recipe("forecast/vectornet").recipes["forecast/vectornet"]
    dataclasses.replace(recipe, dim=100, heads=8, encoder="mine:Encoder").check()


def test_a_recipe_around_another_block_differs_in_its_source_alone() -> None:
    recipe = task_of_recipe("forecast/vectornet-random").recipes["forecast/vectornet-random"]
    around = recipe.with_source("random:4x8x2")
    assert around.block == dataclasses.replace(recipe.block, source="random:4x8x2")
    assert dataclasses.replace(around, block=recipe.block) == recipe
