"""Files that say which action each video shows: Something-Something's JSON, and tables as Kinetics has them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perception.errors import InputError
from perception_datasets.errors import bad_file, reading
from perception_datasets.images.layout import names_of_split

CURE = "download it again"
_FOLDERS = ("", "labels", "annotations")
_PREFIXES = ("", "something-something-v2-")


@dataclass(frozen=True)
class Annotations:
    """What a file of labels says.

    Attributes:
        path: The file.
        layout: Its format.
        names: Name of each video, in the file's order.
        classes_of: Class of each video; None where it has none.
        classes: All classes in the order of their labels; None where no file says them.
    """

    path: Path
    layout: str
    names: tuple[str, ...]
    classes_of: tuple[str | None, ...]
    classes: tuple[str, ...] | None


def find_annotations(root: Path, split: str, labels: str = "") -> Annotations | None:
    """Returns the labels of a split; None if the folder has no file of labels.

    Args:
        root: Folder of the data set.
        split: Name of the split.
        labels: Which of several sets of labels: `motion` reads `SPLIT_motion.json` and `labels_motion.json`.

    Raises:
        InputError: A file of labels cannot be used, or the named set of labels is not there.
    """
    ending = f"_{labels}" if labels else ""
    for name in names_of_split(split):
        for suffix, read in ((".json", _read_json), (".csv", _read_table), (".txt", _read_table)):
            path = _first(root, f"{name}{ending}{suffix}")
            if path is not None:
                return read(root, path, split, ending)
    if labels:
        raise InputError(
            f"{root}: expected {split}{ending}.json with the labels {labels!r}, found no such file; leave --labels out "
            "for the usual ones"
        )
    return None


def _first(root: Path, name: str) -> Path | None:
    places = (root / folder / f"{prefix}{name}" for folder in _FOLDERS for prefix in _PREFIXES)
    return next((path for path in places if path.is_file()), None)


def without_brackets(template: str) -> str:
    """Returns the name of a class, as labels.json has it: `Moving [something] up` without brackets."""
    return template.replace("[", "").replace("]", "")


def _read_json(root: Path, path: Path, split: str, ending: str) -> Annotations:
    """Something-Something v2: a list of objects, in its test split with nothing but an id."""
    with reading(path, CURE):
        records = json.loads(path.read_text("utf-8"))
        names = tuple(str(record["id"]) for record in records)
        templates = [record.get("template") for record in records]
        classes_of = [None if template is None else without_brackets(template) for template in templates]
    answers = _first(root, f"{split}-answers.csv")
    if answers is not None and not any(classes_of):
        with reading(answers, CURE), answers.open(encoding="utf-8", newline="") as file:
            said = dict(csv.reader(file, delimiter=";"))
        classes_of = [said.get(name) for name in names]
    listed = _first(root, f"labels{ending}.json")
    classes = None
    if listed is not None:
        with reading(listed, CURE):
            numbers = {name: int(number) for name, number in json.loads(listed.read_text("utf-8")).items()}
            if sorted(numbers.values()) != list(range(len(numbers))):
                raise bad_file(listed, "expected each class with a number of its own from 0 on, found others", CURE)
            classes = tuple(sorted(numbers, key=numbers.__getitem__))
    return Annotations(path, "Something-Something", names, tuple(classes_of), classes)


def _read_table(_root: Path, path: Path, _split: str, _ending: str) -> Annotations:
    """Kinetics' own table, or lines of a path and a label, with a comma or a space between."""
    with reading(path, CURE):
        lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        rows = list(csv.reader(lines)) if lines and "," in lines[0] else [line.rsplit(maxsplit=1) for line in lines]
        if rows and "youtube_id" in rows[0]:
            names, labels = _kinetics(rows)
        else:
            bad = next((row for row in rows if len(row) != 2), None)
            if bad is not None:
                raise ValueError(f"expected a path and a label in each line, found {','.join(bad)[:80]!r}")
            names, labels = [name.strip() for name, _ in rows], [label.strip() for _, label in rows]
    known = {label for label in labels if label}
    classes = None
    if known and all(label.isdecimal() for label in known):
        classes = tuple(map(str, range(max(map(int, known)) + 1)))
    return Annotations(path, "table", tuple(names), tuple(label or None for label in labels), classes)


def _kinetics(rows: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    header, *videos = rows
    columns = {name: header.index(name) for name in ("youtube_id", "time_start", "time_end")}
    names = []
    for row in videos:
        start, end = (int(float(row[columns[name]])) for name in ("time_start", "time_end"))
        names.append(f"{row[columns['youtube_id']]}_{start:06d}_{end:06d}")
    if "label" not in header:
        return names, [""] * len(names)
    return names, [row[header.index("label")] for row in videos]
