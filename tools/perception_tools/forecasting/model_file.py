"""A trained model as one safetensors file: trainable weights, recipe, and which frozen block they belong to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.checkpoint import fingerprints, load_trainable_state_dict, trainable_state_dict
from perception.models.forecaster import Forecaster
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.forecasting.task import build_forecaster

MODEL_FILE = "model.safetensors"
"""Its name in a run's folder."""
FORMAT = "frozen-perception forecaster 2"


@dataclass(frozen=True)
class Training:
    """What a model was trained on.

    Attributes:
        name: Recipe's word on the command line.
        source: `Scenario.source` of the training data.
        scenarios: How many there were.
        history_steps: Observed steps of each.
        future_steps: Predicted steps of each.
        steps: Optimiser steps so far.
    """

    name: str
    source: str
    scenarios: int
    history_steps: int
    future_steps: int
    steps: int


@dataclass(frozen=True)
class TrainedForecaster:
    """A model file, loaded."""

    model: Forecaster
    recipe: ForecastRecipe
    training: Training


def save_model(path: Path, model: Forecaster, recipe: ForecastRecipe, training: Training) -> None:
    """Writes a forecaster."""
    write_model(path, model, FORMAT, {"recipe": recipe.to_json(), "training": asdict(training)})


def load_model(path: Path) -> TrainedForecaster:
    """A model in evaluation mode, from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, FORMAT)
    recipe = ForecastRecipe.from_json(stored.metadata["recipe"])
    training = Training(**stored.metadata["training"])
    model = build_forecaster(recipe, training.future_steps)
    stored.load_into(model)
    return TrainedForecaster(model.eval(), recipe, training)


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
    """Writes any model under a temporary name and renames, so that the file is whole or the former one."""
    texts = {name: json.dumps(value) for name, value in (metadata | {"blocks": fingerprints(model)}).items()}
    temporary = path.with_suffix(".part")
    weights = {name: value.detach().contiguous().cpu() for name, value in trainable_state_dict(model).items()}
    temporary.write_bytes(save(weights, {"format": format_name, **texts}))  # save_file lets only the owner read it
    temporary.replace(path)


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
