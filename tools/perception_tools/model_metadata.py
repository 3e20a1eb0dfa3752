"""What a model's file says of it beside its weights. Imports no PyTorch, so that a node knows its model before that."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from safetensors import safe_open

from perception.errors import InputError
from perception.files import reading
from perception_nodes.exported.model_file import is_exported

MODEL_FILE = "model.safetensors"
"""Its name in a run's folder."""
CURE = "copy or train it again"


class ServedBy(Protocol):
    """What a node's plan says about its model's name."""

    @property
    def checkpoint(self) -> Path:
        """A run's folder or a model file."""
        ...

    @property
    def precision(self) -> str:
        """Precision of the block's weights, in the node's own process."""
        ...

    @property
    def block(self) -> str | None:
        """Name of the pipeline to ask the service for; None for the node's own block."""
        ...


def read_metadata(path: Path, format_name: str) -> dict[str, Any]:
    """Returns what a model was written with, by key.

    Args:
        path: Its file, or the folder of its run.
        format_name: Format that it must have.

    Raises:
        InputError: There is no such file, or it is not of that format.
    """
    with opened_model(path) as (file, opened):
        texts = opened.metadata() or {}
        found = texts.pop("format", None)
        if found != format_name:
            raise InputError(
                f"{file}: expected a file of format {format_name!r}, got {found!r}; give what `perception train` wrote"
            )
        metadata = {name: json.loads(text) for name, text in texts.items()}
        for name, value in metadata.items():
            if not isinstance(value, dict):
                raise InputError(f"expected {name} to be a JSON object, found {reprlib.repr(value)}")
        return metadata


def format_of(path: Path) -> str | None:
    """The format that a model's file, or that of its run, says it has; None where it says none."""
    with opened_model(path) as (_, opened):
        return (opened.metadata() or {}).get("format")


def model_id(name: str, path: Path, form: str) -> str:
    """Which model an answer is from: the recipe, the first digits of the model file's hash, the block's form.

    Args:
        name: Name of the recipe.
        path: The model's file, or the folder of its run.
        form: The block's precision, or where the block is.
    """
    return f"{name}@{digest_of(path / MODEL_FILE if path.is_dir() else path)}:{form}"


def digest_of(file: Path) -> str:
    """The first digits of a file's SHA-256, computed once a process as long as its `stamp_of` stays."""
    return _digest(file, *stamp_of(file))


@cache
def _digest(file: Path, _size: int, _modified_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:12]


def stamp_of(file: Path) -> list[int]:
    """Size in bytes, and time of the last change in ns."""
    about = file.stat()
    return [about.st_size, about.st_mtime_ns]


def served_model_id(name: str, plan: ServedBy) -> str:
    """Returns the id of a recipe's model as a node's plan has it served."""
    return model_id(name, plan.checkpoint, plan.precision if plan.block is None else f"service/{plan.block}")


@contextmanager
def opened_model(
    path: Path, framework: str = "numpy", kind: type[InputError] = InputError
) -> Iterator[tuple[Path, Any]]:
    """Opens a model's file, or that of its run; whatever fails in the block names the file.

    Args:
        path: The file or folder.
        framework: What its weights are read as, in the words of safetensors.
        kind: Class of the errors.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path}: expected a run's folder or its {MODEL_FILE}, found none; train one first")
    if is_exported(file):
        raise InputError(
            f"{file}: expected a run's folder or its {MODEL_FILE}, since its weights are needed here, got an exported "
            "model; give the run that it was exported from"
        )
    with reading(file, CURE, kind), safe_open(file, framework) as opened:
        yield file, opened
