"""The list of all recipes: those that differ in their block alone share a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from perception_tools.tasks import Task, all_tasks
from perception_tools.training.recipes import BLOCKS

WITHOUT = BLOCKS[""][1]
WIDTH = 44
"""Columns of a line before what it says; a longer name gets a line of its own."""


@dataclass(frozen=True)
class _Family:
    """A recipe, and those that differ from it in their block alone.

    Attributes:
        name: Its name.
        text: What it is.
        at: Where the others' names have one part more.
        blocks: That part → what it says.
    """

    name: str
    text: str
    at: int
    blocks: dict[str, str] = field(default_factory=dict)

    def pattern(self) -> str:
        """All names, such as `TASK/NAME[-llama|-mlp]-100`."""
        more = f"[{'|'.join(self.blocks)}]" if self.blocks else ""
        return f"{self.name[: self.at]}{more}{self.name[self.at :]}"


def list_recipes() -> str:
    """Returns every recipe with what it is, by task, and what the blocks in their names are."""
    lines, blocks = [], {}
    for task in all_tasks():
        lines += ["", f"{task.title[:1].upper()}{task.title[1:]}:"]
        for family in _families(task):
            lines += _in_columns(family.pattern(), family.text)
            blocks |= {part: text for part, text in family.blocks.items() if part not in blocks}
    lines += ["", "Blocks, by what a name has in the place of […]; a name without it is the model without a block:"]
    return "\n".join([*lines, *(line for part, text in blocks.items() for line in _in_columns(part, text))])


def _in_columns(name: str, text: str) -> list[str]:
    if len(name) < WIDTH - 3:
        return [f"  {name:<{WIDTH - 2}}{text}"]
    return [f"  {name}", f"{'':<{WIDTH}}{text}"]


def _families(task: Task) -> list[_Family]:
    found: dict[str, _Family] = {}
    for name, recipe in task.recipes.items():
        for base, at, part in _bases(task.recipes, name):
            alike = replace(recipe, block=task.recipes[base].block) == task.recipes[base]
            if base in found and alike and (not found[base].blocks or found[base].at == at):
                before, _, after = task.descriptions[base].partition(WITHOUT)
                text = task.descriptions[name].removeprefix(before).removesuffix(after)
                found[base] = replace(found[base], at=at, blocks=found[base].blocks | {part: text})
                break
        else:
            text = task.descriptions[name].replace(f", {WITHOUT}", "")
            found[name] = _Family(name, text, len(name))
    return list(found.values())


def _bases(recipes: Mapping[str, object], name: str) -> Iterator[tuple[str, int, str]]:
    """Yields the recipes whose names lack a part of this one's, where that part begins, and the part."""
    for start in (at for at, letter in enumerate(name) if letter == "-"):
        for end in (at for at in range(start + 1, len(name) + 1) if name[at : at + 1] in ("-", "")):
            if (base := name[:start] + name[end:]) in recipes:
                yield base, start, name[start:end]
