"""Folders of data sets: one for each record, and the mark of those that were made."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from perception.files import whole_file

SYNTHETIC_MARKER = "synthetic.json"
"""Our own makers write this file beside what they make, so that it can never pass for recorded."""


def mark_synthetic(folder: Path, marker: Mapping[str, str | int]) -> None:
    """Marks a folder as synthetic; `marker` states what made its content, and from which seed."""
    with whole_file(folder / SYNTHETIC_MARKER) as path:
        path.write_text(json.dumps(marker) + "\n")


def is_synthetic(folder: Path) -> bool:
    """Whether a folder, or the one that it lies in, is marked as made."""
    return any((place / SYNTHETIC_MARKER).is_file() for place in (folder, folder.parent))


def record_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, in alphabetical order; hidden ones are unfinished or the system's."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def find_records(places: tuple[Path, ...], file: str) -> Path | None:
    """The first place with a folder that holds the given file; `{name}` in it stands for the folder's name."""
    for place in places:
        if place.is_dir() and any((place / name / file.format(name=name)).is_file() for name in record_folders(place)):
            return place
    return None
