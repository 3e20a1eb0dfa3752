"""A trained forecaster's model file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from perception.models.forecaster import Forecaster
from perception_tools.forecasting.learning import build_forecaster
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.model_files import read_model, write_model

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
