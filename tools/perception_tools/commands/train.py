"""`perception train RECIPE --data DIR --out DIR`."""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from perception.errors import InputError
from perception_tools.recipe_list import list_recipes
from perception_tools.references import resolve
from perception_tools.tasks import all_tasks, task_of_recipe
from perception_tools.training.recipes import LearningRecipe

if TYPE_CHECKING:
    from perception_tools.training.run import TrainingRun


def train(words: list[str]) -> dict:
    """Trains a recipe; run the same command again after a stop and it goes on where it was.

    RECIPE is a name, or a YAML file with `recipe: NAME` and the numbers that differ from it. Writes to OUT:
    model.safetensors (at every validation; the averaged weights, with --no-validate-average the weights themselves),
    run.json, last.ckpt (for resuming) and TensorBoard events.
    """
    if not words or words[0] in ("-h", "--help"):
        return _list_recipes(missing=not words)
    run = read_run("train", words[0], words[1:])
    run.check()  # `fit` does so too, but its imports take seconds

    from perception_tools.training.fit import fit

    return {"model": str(fit(run))}


def read_run(command: str, recipe: str, words: list[str]) -> TrainingRun:
    """The training run of a recipe with the options that words give.

    Args:
        command: Words of the command, for its help.
        recipe: Name of the recipe, or path of a recipe file.
        words: Options of the run and of the recipe.

    Raises:
        InputError: There is no such recipe, or the file cannot be used.
    """
    from perception_tools.main import parse

    name, numbers = _recipe(recipe)
    task = task_of_recipe(name)
    kind = resolve(task.run)
    default = kind(data=tyro.MISSING, out=tyro.MISSING, recipe=numbers, name=name)
    description = f"{name}: {task.descriptions[name]}.\n\n{cleandoc(train.__doc__ or '')}"
    return parse(f"{command} {recipe}", kind, words, default=default, description=description)


def _recipe(word: str) -> tuple[str, LearningRecipe]:
    """A recipe by its name, or from a YAML file that names one and what differs from it.

    Raises:
        InputError: There is no such recipe, or the file cannot be used.
    """
    if word.startswith("-"):
        raise InputError(f"expected the name of a recipe first, got {word}; `perception train --help` lists them")
    if word.endswith((".yaml", ".yml")):
        from perception_tools.training.recipe_file import read_recipe

        return read_recipe(Path(word), {name: recipe for task in all_tasks() for name, recipe in task.recipes.items()})
    return word, task_of_recipe(word).recipes[word]


def _list_recipes(missing: bool) -> dict:
    """Shows every recipe with its line; where none was named, as an error."""
    out = sys.stderr if missing else sys.stdout
    print("usage: perception train RECIPE --data DIR --out DIR [OPTIONS]\n", file=out)
    print("Trains a recipe; run the same command again after a stop and it goes on where it was.", file=out)
    print(list_recipes(), file=out)
    print(
        "\nperception train RECIPE --help shows every number of a recipe as an option. RECIPE may also be a YAML file",
        file=out,
    )
    print("with `recipe: NAME` and the numbers that differ from it.", file=out)
    if missing:
        raise InputError("expected the name of a recipe, got none; give one of those above")
    return {}
