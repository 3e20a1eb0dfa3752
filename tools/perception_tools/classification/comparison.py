"""Classifiers side by side on the same sets: what metrics.json says of them, and the table on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from perception.errors import InputError
from perception_tools.classification.scores import ClassScores, Scores, compare, compare_trainings
from perception_tools.report.side_by_side import TrainedSystem


def expect_same_classes(runs: Sequence[Path], classes: Sequence[tuple[str, ...]]) -> None:
    """Raises InputError if there is no run, or if runs have different classes, so that they cannot be compared.

    Args:
        runs: Run folders or model files.
        classes: Names of the classes of each run's model.
    """
    if not runs:
        raise InputError("evaluate: expected at least one run, got none; give a run's folder")
    for run, names in zip(runs, classes, strict=True):
        if names != classes[0]:
            raise InputError(
                f"{run}: expected a model with the {len(classes[0])} classes of {runs[0]}, it has other "
                f"{len(names)}; evaluate it by itself"
            )


def side_by_side(scores: Mapping[str, Scores], systems: Sequence[TrainedSystem]) -> dict:
    """All numbers of one set: the first model's, the others' beside them, and what lies between them.

    Args:
        scores: Name of a model → its scores; the first is compared with the others.
        systems: Which of them differ in their seed alone.

    Returns:
        The first model's numbers with its `name`; `others` by name; `paired` (McNemar's test and the difference with
        its interval, by name) and `failures` where scores are of one set; `systems` with means over seeds.
    """
    tables = {name: of.as_json() for name, of in scores.items()}
    first, *others = tables
    numbers = tables[first] | {"name": first, "others": {name: tables[name] for name in others}}
    plain = {name: of for name, of in scores.items() if isinstance(of, ClassScores)}
    if len(plain) == len(scores):
        numbers["paired"] = {name: compare(plain[first], plain[name]) for name in others}
        numbers["failures"] = dict(plain[first].unread)
    in_order, by_number = list(scores.values()), list(tables.values())
    numbers["systems"] = [_system(systems[0], system, in_order, by_number) for system in systems]
    return numbers


def _system(
    first: TrainedSystem, system: TrainedSystem, scores: Sequence[Scores], tables: Sequence[Mapping[str, float]]
) -> dict:
    """Means of one system over its seeds, and the first system's difference to it."""
    own = [tables[number] for number in system.members]
    further = [name for name, value in own[0].items() if isinstance(value, float)]
    names = [name for name in dict.fromkeys((*scores[0].metrics, *further)) if all(name in table for table in own)]
    values = {name: [table[name] for table in own] for name in names}
    numbers: dict = {
        "name": system.name,
        "seeds": list(system.seeds),
        "mean": {name: sum(of) / len(of) for name, of in values.items()},
        "values": values,
    }
    if system is not first:
        ours, theirs = ([scores[number] for number in of.members] for of in (first, system))
        found = compare_trainings(ours, theirs, same_seeds=first.seeds == system.seeds)
        numbers["first_against_this"] = {
            name: {"difference": of.difference, "interval": list(of.interval), "told_apart": of.told_apart}
            for name, of in found.items()
        }
    return numbers


def print_accuracies(groups: Mapping[str, dict], noun: str) -> None:
    """Prints top-1 and top-5 of every model on every set.

    Args:
        groups: Name of a set → its numbers, from `side_by_side`.
        noun: What a record is called, in the singular.
    """
    columns = [{numbers["name"]: numbers} | numbers["others"] for numbers in groups.values()]
    width = max(map(len, columns[0]))
    counted = ", ".join(f"{group} ({numbers[f'{noun}s']:,} {noun}s)" for group, numbers in groups.items())
    print(f"\ntop-1 and top-5 accuracy in per cent: {counted}")
    for name in columns[0]:
        cells = (f"{100 * of[name]['top1']:6.2f}  {100 * of[name]['top5']:6.2f}" for of in columns)
        print(f"{name:<{width}}  " + "    ".join(cells))
    for group, table in groups.items():
        if table.get("left_out"):
            print(f"{group}: {table['left_out']:,} {noun}s of classes that the models lack are not counted")
        if table.get("unread"):
            print(f"{group}: {table['unread']} {noun}s could not be read and are not counted")
    print()
