"""A recipe from a YAML file: the name of a known one, and what differs from it.

recipe: forecast/vectornet-llama
passes: 50
learning_rate: 1e-3
block:
source: opt-125m
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from perception_nodes.operations.configuration import read_variant
from perception_tools.training.recipes import LearningRecipe

Recipe = TypeVar("Recipe", bound=LearningRecipe)


def read_recipe(path: Path, recipes: Mapping[str, Recipe]) -> tuple[str, Recipe]:
    """The name of the recipe that a file begins from, and the recipe with the file's numbers in it.

    Args:
        path: The file.
        recipes: Word on the command line → recipe.

    Raises:
        InputError: It cannot be used; the message begins with FILE:LINE and names the key that was probably meant.
    """
    return read_variant(path, "recipe", recipes)
