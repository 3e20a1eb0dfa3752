"""A trained model as one safetensors file: trainable weights, recipe, and which frozen block they belong to."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from perception.errors import InputError
from perception.frozen.checkpoint import fingerprints, load_trainable_state_dict, trainable_state_dict
from perception.models.forecaster import Forecaster
from perception_tools.forecast_task import build_forecaster
from perception_tools.recipes import ForecastRecipe

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
    """Writes under a temporary name and renames, so that the file is whole or the former one."""
    metadata = {
        "format": FORMAT,
        "recipe": json.dumps(recipe.to_json()),
        "training": json.dumps(asdict(training)),
        "blocks": json.dumps(fingerprints(model)),
    }
    temporary = path.with_suffix(".part")
    weights = {name: value.detach().contiguous().cpu() for name, value in trainable_state_dict(model).items()}
    temporary.write_bytes(save(weights, metadata))  # save_file would let nobody but the owner read it
    temporary.replace(path)


def load_model(path: Path) -> TrainedForecaster:
    """A model in evaluation mode, from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    file = path / MODEL_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path}: expected a run's folder or its {MODEL_FILE}, found none; train one first")
    try:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}
    except SafetensorError as error:
        raise InputError(f"{file}: expected a whole safetensors file, got {error}; copy or train it again") from error
    if metadata.get("format") != FORMAT:
        raise InputError(
            f"{file}: expected a file of format {FORMAT!r}, got {metadata.get('format')!r}; "
            "give what `perception train` wrote"
        )
    recipe = ForecastRecipe.from_json(json.loads(metadata["recipe"]))
    training = Training(**json.loads(metadata["training"]))
    model = build_forecaster(recipe, training.future_steps)
    load_trainable_state_dict(model, weights, json.loads(metadata["blocks"]))
    return TrainedForecaster(model.eval(), recipe, training)
