"""`perception train RECIPE --data DIR --out DIR`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from perception.errors import InputError
from perception_tools.references import resolve
from perception_tools.tasks import all_tasks, task_of_recipe

if TYPE_CHECKING:
    from perception_tools.training.run import TrainingRun


def train(words: list[str]) -> dict:
    """Trains a recipe; run the same command again after a stop and it goes on where it was.

    Writes to OUT: model.safetensors (the averaged weights, at every validation), run.json, last.ckpt (for resuming)
    and TensorBoard events.
    """
    if not words or words[0] in ("-h", "--help"):
        return _list_recipes(missing=not words)
    name = words[0]
    if name.startswith("-"):
        raise InputError(f"expected the name of a recipe first, got {name}; `perception train --help` lists them")
    run = read_run(f"train {name}", name, words[1:])

    from perception_tools.training.fit import fit

    return {"model": str(fit(run))}


def read_run(command: str, name: str, words: list[str]) -> TrainingRun:
    """The training run of a recipe with the options that words give.

    Args:
        command: Words of the command, for its help.
        name: Name of the recipe.
        words: Options of the run and of the recipe.

    Raises:
        InputError: There is no such recipe.
    """
    from perception_tools.main import parse

    task = task_of_recipe(name)
    kind = resolve(task.run)
    default = kind(data=parse_missing(), out=parse_missing(), recipe=task.recipes[name], name=name)
    description = f"{task.descriptions[name][:1].upper()}{task.descriptions[name][1:]}.\n\n{train.__doc__}"
    return parse(command, kind, words, default=default, description=description)


def parse_missing() -> object:
    """Stands for an option that has to be given."""
    import tyro

    return tyro.MISSING


def _list_recipes(missing: bool) -> dict:
    """Shows every recipe with its line; where none was named, as an error."""
    out = sys.stderr if missing else sys.stdout
    print("usage: perception train RECIPE --data DIR --out DIR [OPTIONS]\n", file=out)
    print("Trains a recipe; run the same command again after a stop and it goes on where it was.", file=out)
    for task in all_tasks():
        print(f"\n{task.name}:", file=out)
        for name in task.recipes:
            print(f"  {name:<28} {task.descriptions[name]}", file=out)
    print("\nperception train RECIPE --help shows every number of a recipe as an option.", file=out)
    if missing:
        raise InputError("expected the name of a recipe, got none; give one of those above")
    return {}
