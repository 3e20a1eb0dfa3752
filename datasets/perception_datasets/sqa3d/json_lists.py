"""JSON files that hold a list of objects, as the question files of ScanQA and MSQA do."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perception_datasets.errors import bad_file


def read_objects(path: Path) -> list[dict]:
    """Returns the objects of a file that holds a list of them; to be called inside `reading`.

    Raises:
        ValueError: The file holds something else, or nothing.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, list) or not content:
        raise ValueError(f"expected a list of questions, found {type(content).__name__} of length {_length(content)}")
    for number, item in enumerate(content):
        if not isinstance(item, dict):
            raise ValueError(f"expected objects in the list, found {type(item).__name__} at {number}")
    return content


def text_list(value: Any) -> tuple[str, ...]:
    """Returns a list of texts or numbers as texts.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
        raise ValueError(f"expected a list of answers, found {str(value)[:60]}")
    return tuple(str(item) for item in value)


def check_unique(path: Path, ids: Iterable[str], cure: str) -> None:
    """Checks that no id occurs twice.

    Raises:
        RecordError: One does.
    """
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise bad_file(path, f"expected each question once, found {name} twice", cure)
        seen.add(name)


def _length(content: Any) -> int:
    return len(content) if isinstance(content, list | dict | str) else 0
