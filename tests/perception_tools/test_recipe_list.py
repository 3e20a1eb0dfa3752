"""Tests for `perception_tools.recipe_list`."""

from __future__ import annotations

import re

from perception_tools.recipe_list import list_recipes
from perception_tools.tasks import all_tasks


def expand(pattern: str) -> list[str]:
    """All names of `a[-b|-c]-d`: with each of the parts, and with none."""
    found = re.fullmatch(r"(.*)\[(.*)\](.*)", pattern)
    if found is None:
        return [pattern]
    before, parts, after = found.groups()
    return [f"{before}{part}{after}" for part in ["", *parts.split("|")]]


def test_every_recipe_stands_under_its_task_once() -> None:
    shown = list_recipes()
    for task in all_tasks():
        part = shown.split(f"\n{task.title[0].upper()}{task.title[1:]}:\n")[1].split("\n\n")[0]
        names = [name for pattern in re.findall(rf"^  ({task.name}/\S+)", part, re.M) for name in expand(pattern)]
        assert sorted(names) == sorted(task.recipes)


def test_what_a_recipe_says_is_its_line_and_that_of_its_block() -> None:
    shown = list_recipes()
    assert re.search(r"  image/vit-s\[-llama\|.*\]-100\n +ViT-S/16; 100 passes\n", shown)
    assert re.search(r"  image/vit-s\[-llama\|[^]]*\]\n +ViT-S/16\n", shown)
    blocks = shown.split("the model without a block:\n")[1]
    for task in all_tasks():
        for name, text in task.descriptions.items():
            parts = [part for part in re.findall(r"^  (-\S+)", blocks, re.M) if re.search(rf"{part}(-|$)", name)]
            for words in re.split(", |; ", text.replace(", without any block", "")):
                assert words in shown, (name, parts, words)


def test_recipes_that_differ_in_more_than_their_block_stand_apart() -> None:
    assert "  points/modelnet40-1k[-llama]-code " in list_recipes()
    assert "  forecast/mmtransformer-36[" in list_recipes()
