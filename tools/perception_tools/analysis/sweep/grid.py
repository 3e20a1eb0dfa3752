"""What a sweep varies: fields of a training run by their dotted names, seeds, and the cells of their grid."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from perception.errors import InputError
from perception_tools.training.run import TrainingRun

LONGEST_NAME = 120
"""Characters of a cell's name; file systems allow 255 bytes."""


@dataclass(frozen=True)
class Cell:
    """One point of a sweep's grid: all its runs differ in their seed only.

    Attributes:
        recipe: Name of the recipe.
        settings: Dotted name of each swept field → its value, in the order of the command line.
    """

    recipe: str
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A readable folder name, which does not depend on the other cells of the sweep.

        Values that cannot be part of a folder name are told apart by a hash at the end.
        """
        words = [self.recipe.partition("/")[2] or self.recipe]
        words += [f"{field}={value}" for field, value in sorted(self.settings.items())]
        plain = ",".join(words)
        safe = re.sub(r"[^\w.=,+-]", "-", plain, flags=re.ASCII)
        if safe == plain and len(plain) <= LONGEST_NAME:
            return plain
        return f"{safe[:LONGEST_NAME]}~{hashlib.sha256(plain.encode()).hexdigest()[:8]}"

    def apply(self, run: TrainingRun) -> TrainingRun:
        """The run with this cell's values in place of its own."""
        for name, value in self.settings.items():
            if name in _names_of(run.recipe):
                run = replace(run, recipe=_with_field(run.recipe, name, value))
            else:
                run = replace(run, **{name: value})
        return run


def make_grid(recipes: Sequence[str], over: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """All combinations of recipes and values; the last field varies fastest."""
    return [
        Cell(recipe, dict(zip(over, values, strict=True)))
        for recipe in dict.fromkeys(recipes)
        for values in product(*over.values())
    ]


def values_of(cells: Sequence[Cell]) -> dict[str, tuple[Any, ...]]:
    """Every field that cells set, with its values, in the order in which they come."""
    over: dict[str, list[Any]] = {}
    for cell in cells:
        for name, value in cell.settings.items():
            values = over.setdefault(name, [])
            if value not in values:
                values.append(value)
    return {name: tuple(values) for name, values in over.items()}


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds that a text such as `0..4` (both ends included) or `0,1,7` names, each once.

    Raises:
        InputError: It names none.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\.\.(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first:
            raise InputError(f"--seeds {text}: expected whole numbers such as 0..4 or 0,1,2; got {part.strip()!r}")
        seeds |= dict.fromkeys(range(first, last + 1))
    return tuple(seeds)


def parse_over(texts: Sequence[str], run: TrainingRun) -> dict[str, tuple[Any, ...]]:
    """The fields that a sweep varies, and the values of each.

    Args:
        texts: `FIELD=a,b,c`, one a field. In a text `PLACE#0..3` is four values, and `PLACE#2+3` is `PLACE#2,3`.
        run: A run of the recipe; the annotations of its fields say how values are read.

    Raises:
        InputError: A field does not exist, is given twice, or cannot have a value.
    """
    kinds = swept_fields(run)
    over: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values.strip(","):
            raise InputError(f"--over {text}: expected FIELD=VALUE,VALUE, such as --over learning_rate=1e-4,5e-4")
        name = name.strip().replace("-", "_")
        if name == "seed":
            raise InputError(f"--over {text}: seeds have an option of their own; give --seeds {values}")
        if name not in kinds:
            raise InputError(f"--over {text}: {_no_such_field(name, kinds)}")
        if name in over:
            raise InputError(f"--over {text}: {name} is given twice; give all its values at once")
        parts = [part.strip() for part in values.split(",")]
        parts = [each for part in parts for each in _layers(part)] if kinds[name] is str else parts
        parsed = [_parse_value(f"--over {name}", kinds[name], part) for part in parts]
        over[name] = tuple(value for i, value in enumerate(parsed) if value not in parsed[:i])
    return over


def _layers(text: str) -> list[str]:
    """The URIs that a text such as `smollm2#0..3` or `smollm2#2+3` names; any other text itself."""
    match = re.fullmatch(r"(.*#)(\d+)\.\.(\d+)", text)
    if match and int(match[2]) <= int(match[3]):
        return [f"{match[1]}{layer}" for layer in range(int(match[2]), int(match[3]) + 1)]
    return [re.sub(r"(?<=\d)\+(?=-?\d)", ",", text) if re.fullmatch(r".*#-?\d+(\+-?\d+)+", text) else text]


def swept_fields(run: TrainingRun) -> dict[str, Any]:
    """Every field that can be swept, by dotted name, with its annotation.

    They are the recipe's fields, and those of the run that make it another run, such as `limit`.
    """
    kinds = _names_of(run.recipe)
    own = get_type_hints(type(run))
    for name in run.describe():
        if name in own and name not in ("name", "recipe", "data"):
            kinds.setdefault(name, own[name])
    return kinds


def _names_of(values: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted name → annotation of every field of nested dataclasses."""
    hints = get_type_hints(type(values))
    kinds: dict[str, Any] = {}
    for field in fields(values):
        value = getattr(values, field.name)
        if is_dataclass(value):
            kinds |= _names_of(value, f"{prefix}{field.name}.")
        else:
            kinds[prefix + field.name] = hints[field.name]
    return kinds


def _with_field(values: Any, name: str, value: Any) -> Any:
    """Nested dataclasses with another value at a dotted name."""
    first, _, rest = name.partition(".")
    return replace(values, **{first: _with_field(getattr(values, first), rest, value) if rest else value})


def _no_such_field(name: str, kinds: Mapping[str, Any]) -> str:
    """What is wrong with a field's name, and which were probably meant."""
    nested = [known for known in kinds if known.startswith(f"{name}.") or known.endswith(f".{name}")]
    near = nested or get_close_matches(name, kinds, 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if 0 < len(near) <= 3 else f"expected one of {', '.join(near or kinds)}"
    return f"the recipe has no field {name!r}; {hint}"


def _parse_value(what: str, kind: Any, text: str) -> Any:
    """A value as `perception train` reads it from the command line; `None` where the field may be that."""
    import tyro

    if kind in (str, Path):  # they may begin with a dash
        return kind(text)
    words = text.split() if get_origin(kind) in (tuple, list, dict, Mapping) else [text]
    words = [text.capitalize()] if kind is bool else words
    unread = io.StringIO()
    try:
        with redirect_stderr(unread), redirect_stdout(unread):
            return tyro.cli(kind, args=words, add_help=False)
    except SystemExit:
        raise InputError(f"{what}: expected {_describe(kind)}, got {text!r}; correct the value") from None


def _describe(kind: Any) -> str:
    """The values that a field may have, in words."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(_describe, get_args(kind)))
    names = {bool: "True or False", int: "a whole number", float: "a number", NoneType: "None"}
    return names.get(kind, str(getattr(kind, "__name__", kind) if isinstance(kind, type) else kind))
