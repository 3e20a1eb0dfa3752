"""Models that are judged side by side: what to call them, and which differ in the seed of their training alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception_tools.training.recipes import LearningRecipe


@dataclass(frozen=True)
class Contestant:
    """A trained model among others.

    Attributes:
        recipe_name: Name of its recipe.
        recipe: Its numbers.
        path: Run's folder or model file.
        trained_on: What it was trained on: anything that compares.
    """

    recipe_name: str
    recipe: LearningRecipe
    path: Path
    trained_on: object


@dataclass(frozen=True)
class TrainedSystem:
    """Models that differ in nothing but the seed.

    Attributes:
        name: Name for sentences and tables.
        members: Their numbers among the contestants.
        seeds: Seed of each.
    """

    name: str
    members: tuple[int, ...]
    seeds: tuple[int, ...]


def names_apart(contestants: Sequence[Contestant]) -> list[str]:
    """Returns a name for each model: its recipe's, with what differs where that does not tell models apart.

    Raises:
        InputError: The same model is given twice.
    """
    groups: dict[str, list[int]] = {}
    for number, contestant in enumerate(contestants):
        groups.setdefault(contestant.recipe_name, []).append(number)
    names = [contestant.recipe_name for contestant in contestants]
    for members in groups.values():
        fields = _different_fields([contestants[number].recipe for number in members])
        for number in members if len(members) > 1 else ():
            flat = _flat(contestants[number].recipe.to_json())
            if 0 < len(fields) <= 2:
                names[number] += f" ({', '.join(f'{name} {flat[name]}' for name in fields)})"
    return with_folders(names, [contestant.path for contestant in contestants])


def with_folders(names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Returns the names; each with its run's folder where they do not tell models apart.

    Args:
        names: Name of each model.
        paths: Run's folder or model file of each.

    Raises:
        InputError: The same model is given twice.
    """
    if len(set(names)) == len(names):
        return list(names)
    apart = [f"{name} [{_folder(path).name}]" for name, path in zip(names, paths, strict=True)]
    if len(set(apart)) < len(apart):
        raise InputError(f"expected models of different runs, got {', '.join(apart)}; name each once")
    return apart


def group_seeds(contestants: Sequence[Contestant], names: Sequence[str]) -> list[TrainedSystem]:
    """Puts models together that differ in the seed alone; a second model of the same seed stands for itself."""
    members: dict[object, dict[int, int]] = {}
    for number, contestant in enumerate(contestants):
        recipe = {name: value for name, value in contestant.recipe.to_json().items() if name != "seed"}
        kind: object = (contestant.recipe_name, json.dumps(recipe, sort_keys=True), contestant.trained_on)
        if contestant.recipe.seed in members.get(kind, {}):
            kind = (kind, number)
        members.setdefault(kind, {})[contestant.recipe.seed] = number
    systems = []
    for by_seed in members.values():
        first, rows = next(iter(by_seed.values())), tuple(by_seed.values())
        name = names[first] if len(rows) == 1 else f"{contestants[first].recipe_name} ({len(rows)} seeds)"
        systems.append(TrainedSystem(name, rows, tuple(by_seed)))
    labels = [system.name for system in systems]
    return [
        system
        if labels.count(system.name) == 1
        else TrainedSystem(f"{names[system.members[0]]} and its seeds", system.members, system.seeds)
        for system in systems
    ]


def _different_fields(recipes: Sequence[LearningRecipe]) -> list[str]:
    """Dotted names of the fields whose values differ."""
    flat = [_flat(recipe.to_json()) for recipe in recipes]
    return [name for name, value in flat[0].items() if any(other.get(name) != value for other in flat[1:])]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _folder(path: Path) -> Path:
    return (path if path.is_dir() else path.parent).resolve()
