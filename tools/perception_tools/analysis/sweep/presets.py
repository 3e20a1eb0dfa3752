"""Sweeps that have a name: the ablations of Pang et al. (ICLR 2024), for a recipe of any task.

A preset is a list of cells. Each is a recipe that differs from the one that was named in the end of its name (`-llama`,
`-mlp`, …), and in the fields that the paper's table varies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from perception.errors import InputError
from perception_tools.analysis.sweep.grid import Cell, parse_over, swept_fields
from perception_tools.tasks import Task, task_of_recipe
from perception_tools.training.recipes import LearningRecipe
from perception_tools.training.run import TrainingRun

SOURCE = "block.source"
OPT_SIZES = ("125m", "350m", "1.3b", "2.7b", "6.7b")
SMALL_OPT_WIDTH = 1024
"""Width of OPT-350M; that of OPT-125M is 768, that of OPT-1.3B 2048."""
SMALL_OPT_PART = 0.2


@dataclass(frozen=True)
class Variant:
    """A cell of a preset.

    Attributes:
        suffix: End of the recipe's name: empty for the baseline, `-llama`, `-mlp`, `-random`.
        settings: Dotted name of a field → its value.
    """

    suffix: str
    settings: Mapping[str, Any] = field(default_factory=dict)


Variants = Callable[[LearningRecipe, Sequence[str]], Iterator[Variant]]
"""The cells for a recipe, and for the blocks that `--over block.source=…` names in place of the preset's own."""


@dataclass(frozen=True)
class Preset:
    """A sweep that has a name.

    Attributes:
        title: What it compares.
        published: What the paper found.
        variants: Its cells.
        takes_blocks: Whether `--over block.source=…` says which blocks it compares.
    """

    title: str
    published: str
    variants: Variants
    takes_blocks: bool = False


BASELINE, LANGUAGE, MLP, RANDOM = Variant(""), Variant("-llama"), Variant("-mlp"), Variant("-random")
TRAINED, RANDOM_TRAINED = (Variant(suffix, {"block.frozen": False}) for suffix in ("-llama", "-random"))


def _fixed(*variants: Variant) -> Variants:
    def cells(recipe: LearningRecipe, _blocks: Sequence[str]) -> Iterator[Variant]:
        slower = slower_for_small_opt(recipe, recipe.block.source)
        for variant in variants:
            yield variant if variant in (BASELINE, MLP) else Variant(variant.suffix, {**variant.settings, **slower})

    return cells


def _each_block(recipe: LearningRecipe, blocks: Sequence[str]) -> Iterator[Variant]:
    yield BASELINE
    for block in blocks or [f"facebook/opt-{size}" for size in OPT_SIZES]:
        yield Variant("-llama", {SOURCE: block, **slower_for_small_opt(recipe, block)})


def _each_layer(recipe: LearningRecipe, blocks: Sequence[str]) -> Iterator[Variant]:
    if not blocks:
        place, last = _last_layer(recipe.block.source)
        blocks = [f"{place}#{layer}" for layer in range(last + 1)]
    return _each_block(recipe, blocks)


def _each_place(recipe: LearningRecipe, _blocks: Sequence[str]) -> Iterator[Variant]:
    yield BASELINE
    slower = slower_for_small_opt(recipe, recipe.block.source)
    for position in ("tail", "middle", "head"):
        yield Variant("-llama", {"position": position, **slower})
    place, last = _last_layer(recipe.block.source)
    if last:
        yield Variant("-llama", {"position": "tail", SOURCE: f"{place}#{last - 1},{last}", **slower})


PRESETS: Mapping[str, Preset] = {
    "controls": Preset(
        "no block, a language block, and its controls",
        "",
        _fixed(BASELINE, LANGUAGE, RANDOM, RANDOM_TRAINED, MLP, TRAINED),
    ),
    "table-6": Preset(
        "the frozen block against an MLP and a trained block (Tables 6 and A)",
        "ViT-S on ImageNet, Table A, 300 passes: none 80.1 %, frozen 80.7 %, MLP 80.4 %.",
        _fixed(BASELINE, LANGUAGE, MLP, TRAINED),
    ),
    "table-b": Preset(
        "the language block against an MLP and a trained block of random weights (Table B)",
        "ViT-S on ImageNet: none 80.1 %, language 80.7 %, MLP 80.4 %, random 76.9 %.",
        _fixed(BASELINE, LANGUAGE, MLP, RANDOM_TRAINED),
    ),
    "table-c": Preset(
        "blocks of OPT in all its sizes (Table C)",
        "ViT-S on ImageNet, 100 passes: none 75.25 %, OPT-125M 71.63, 350M 71.56, 1.3B 75.62, 2.7B 75.74, 6.7B 76.29. "
        "Blocks of OPT-125M and -350M learn at a fifth of the rate, because the full rate gave NaN there (§B.3).",
        _each_block,
        takes_blocks=True,
    ),
    "table-d": Preset(
        "the place of the block, and two blocks (Table D)",
        "ViT-S on ImageNet, 100 passes: none 75.32 %, tail 75.84, middle 75.55, head 72.66, the last two blocks at the "
        "tail 77.10 %.",
        _each_place,
    ),
    "figure-2": Preset(
        "every layer of a language model (Figure 2)",
        "The paper shows a curve without numbers.",
        _each_layer,
        takes_blocks=True,
    ),
}
"""Word on the command line → preset."""


def slower_for_small_opt(recipe: LearningRecipe, source: str) -> dict[str, float]:
    """A fifth of the recipe's learning rate for OPT-125M and -350M, with which DeiT's rate gave NaN (§B.3).

    The text says "decrease by 1/5", which is read as a factor of 0.2.
    """
    from perception.frozen.weights import read_config

    config, _ = read_config(source)
    if config.architecture == "opt" and config.dim <= SMALL_OPT_WIDTH:
        return {"learning_rate": recipe.learning_rate * SMALL_OPT_PART}
    return {}


def _last_layer(source: str) -> tuple[str, int]:
    """The place of a block's URI without layers, and the index of the model's last block."""
    from perception.frozen.weights import read_config

    place = source.partition("#")[0]
    return place, read_config(f"{place}#-1" if not place.startswith("random:") else place)[1][-1]


def preset_cells(name: str, base: TrainingRun, over: Sequence[str]) -> list[Cell]:
    """The cells of a preset.

    Args:
        name: Its word on the command line.
        base: A run of the recipe that it is for, without a block.
        over: What `--over` says. Values of `block.source` are the blocks that are compared, where the preset compares
            blocks; every other field is combined with all cells.

    Raises:
        InputError: There is no such preset, or it does not go with the recipe or with `over`.
    """
    if name not in PRESETS:
        raise InputError(f"--preset {name}: expected one of {', '.join(PRESETS)}")
    preset, task, crossed = PRESETS[name], task_of_recipe(base.name), parse_over(over, base)
    blocks = crossed.pop(SOURCE, ()) if preset.takes_blocks else ()
    cells = []
    for variant in preset.variants(base.recipe, blocks):
        recipe = _with_suffix(task, base.name, variant.suffix)
        if unknown := variant.settings.keys() - swept_fields(base):
            raise InputError(f"--preset {name}: {base.name} has no {', '.join(sorted(unknown))}; give another preset")
        if twice := variant.settings.keys() & crossed:
            raise InputError(f"--over {', '.join(sorted(twice))}: --preset {name} says it already; leave one out")
        for values in product(*crossed.values()):
            cells.append(Cell(recipe, {**variant.settings, **dict(zip(crossed, values, strict=True))}))
    return cells


def _with_suffix(task: Task, recipe: str, suffix: str) -> str:
    """The recipe's name with another block: `…/vit-s-100` and `-llama` make `…/vit-s-llama-100`."""
    words = recipe.split("-")
    for end in (len(words), len(words) - 1):
        name = "-".join(["-".join(words[:end]) + suffix, *words[end:]])
        if name in task.recipes and task.recipes[recipe].block.kind == "none":
            return name
    raise InputError(f"{recipe}: expected the name of a recipe without a block, such as those without -llama")
