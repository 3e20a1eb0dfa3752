"""Folders that hold one record each, the names of records and splits, and the marker file of synthetic data."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from perception.errors import InputError
from perception.files import reading, whole_file

SYNTHETIC_MARKER = "synthetic.json"
"""File that our generators write beside their output, so that it cannot be mistaken for recorded data."""


_NAME = re.compile(r"[\w-][\w.-]{0,199}")


def is_name(text: object) -> bool:
    """Returns whether a text can name a split or a record: letters, digits, `_`, `-`, and `.` after the first."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def check_split(split: str) -> None:
    """Raises InputError if a text cannot name a split, which is the name of a folder."""
    if not is_name(split):
        raise InputError(f"split: expected a name of letters, digits, _, - and ., found {split!r}; give such a name")


def mark_synthetic(folder: Path, place: Path, marker: Mapping[str, str | int]) -> None:
    """Marks a folder as synthetic before something is made in it.

    Args:
        folder: The folder.
        place: Folder in it that records will be written to.
        marker: What makes its content, and from which seed.

    Raises:
        InputError: The folder holds what was made otherwise, or `place` holds records that are not synthetic.
    """
    path = folder / SYNTHETIC_MARKER
    made_here = f"what `{marker['made_by']}` made with seed {marker['seed']}"
    found: object = None
    if path.is_file():
        with reading(path, "choose another folder"):
            found = json.loads(path.read_text())
    elif place.is_dir() and any(place.iterdir()):
        raise InputError(f"{place}: expected {made_here}, found other files; choose another folder")
    if found not in (None, marker):
        raise InputError(f"{folder}: expected {made_here}, found {found}; choose another folder")
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(marker) + "\n")


def is_synthetic(folder: Path) -> bool:
    """Returns whether a folder or its parent is marked as synthetic."""
    return any((place / SYNTHETIC_MARKER).is_file() for place in (folder, folder.parent))


def record_folders(folder: Path) -> list[str]:
    """Returns the names of the subfolders in alphabetical order, without hidden ones (unfinished or the system's)."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def find_records(places: tuple[Path, ...], file: str) -> Path | None:
    """Returns the first place with a subfolder that holds `file`, in which `{name}` stands for the subfolder's name."""
    for place in places:
        if place.is_dir() and any((place / name / file.format(name=name)).is_file() for name in record_folders(place)):
            return place
    return None
