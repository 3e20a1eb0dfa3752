"""Trained models as one safetensors file: trainable weights, recipe, and which frozen blocks they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.trained_state import fingerprints, load_trainable_state_dict, trainable_state_dict
from perception.frozen.weights import write_tensors

MODEL_FILE = "model.safetensors"
"""Its name in a run's folder."""


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds.

    Attributes:
        weights: All but those of frozen blocks.
        metadata: What it was written with, by key.
        blocks: Fingerprints of the frozen blocks.
    """

    weights: dict[str, Tensor]
    metadata: dict[str, Any]
    blocks: dict[str, dict[str, str | None]]

    def load_into(self, model: nn.Module) -> None:
        """Puts the weights into a model that was built alike.

        Raises:
            WeightsError: Its block is another one.
        """
        load_trainable_state_dict(model, self.weights, self.blocks)


def write_model(path: Path, model: nn.Module, format_name: str, metadata: dict[str, dict]) -> None:
    """Writes any model; the file is whole or the former one.

    Raises:
        WeightsError: It cannot be written there.
    """
    texts = {name: json.dumps(value) for name, value in (metadata | {"blocks": fingerprints(model)}).items()}
    weights = {name: value.detach().contiguous().cpu() for name, value in trainable_state_dict(model).items()}
    write_tensors(path, weights, {"format": format_name, **texts})


def read_model(path: Path, format_name: str) -> StoredModel:
    """What `write_model` wrote, from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, or it is not of that format.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path}: expected a run's folder or its {MODEL_FILE}, found none; train one first")
    try:
        with safe_open(file, "pt") as opened:
            texts = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}
    except SafetensorError as error:
        raise InputError(f"{file}: expected a whole safetensors file, got {error}; copy or train it again") from error
    found = texts.pop("format", None)
    if found != format_name:
        raise InputError(
            f"{file}: expected a file of format {format_name!r}, got {found!r}; give what `perception train` wrote"
        )
    metadata = {name: json.loads(text) for name, text in texts.items()}
    return StoredModel(weights, metadata, metadata.pop("blocks"))


def format_of(path: Path) -> str | None:
    """The format that a model's file, or that of its run, says it has; None where it says none."""
    with _opened(path) as opened:
        return (opened.metadata() or {}).get("format")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path}: expected a run's folder or its {MODEL_FILE}, found none; train one first")
    try:
        with safe_open(file, "pt") as opened:
            yield opened
    except SafetensorError as error:
        raise InputError(f"{file}: expected a whole safetensors file, got {error}; copy or train it again") from error


def model_id(name: str, path: Path, form: str) -> str:
    """Which model an answer is from: the recipe, the first digits of the model file's hash, the block's form.

    Args:
        name: Name of the recipe.
        path: The model's file, or the folder of its run.
        form: The block's precision, or where the block is.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    return f"{name}@{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}:{form}"
