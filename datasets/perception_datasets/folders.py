"""Folders that hold one record each, and the marker file of synthetic data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from perception.files import whole_file

SYNTHETIC_MARKER = "synthetic.json"
"""File that our generators write beside their output, so that it cannot be mistaken for recorded data."""


def mark_synthetic(folder: Path, marker: Mapping[str, str | int]) -> None:
    """Marks a folder as synthetic; `marker` states what made its content, and from which seed."""
    with whole_file(folder / SYNTHETIC_MARKER) as path:
        path.write_text(json.dumps(marker) + "\n")


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
