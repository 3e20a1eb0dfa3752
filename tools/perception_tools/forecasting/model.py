"""A forecaster from its recipe, and its model file. Imports no trainer and no reader."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from perception.encoders.vectornet.input import VectorizedInput
from perception.errors import InputError
from perception.heads.trajectory import TrajectoryDecoder
from perception.heads.trajectory_proposals import ProposalDecoder
from perception.models.forecaster import Forecaster
from perception_tools.blocks import build_block
from perception_tools.forecasting.recipes import ENCODERS, ForecastRecipe, numbers_for
from perception_tools.forecasting.task import TASK
from perception_tools.model_files import expect_types, read_model, write_model
from perception_tools.references import resolve_given


@dataclass(frozen=True)
class Training:
    """What a model was trained on.

    Attributes:
        name: Name of the recipe.
        source: `Scenario.source` of the training data.
        scenarios: Number of scenarios.
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

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.training.name


def build_forecaster(recipe: ForecastRecipe, future_steps: int) -> Forecaster:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        future_steps: Length of a forecast: 30 in Argoverse 1, 60 in Argoverse 2.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = build_encoder(recipe)
        head = _build_head(recipe, encoder, future_steps)
        block = build_block(recipe.dim, recipe.block, recipe.seed)
    own_input = getattr(encoder, "input", None)
    return Forecaster(encoder, block, head, own_input or VectorizedInput(recipe.view, recipe.max_tokens))


def _build_head(recipe: ForecastRecipe, encoder: nn.Module, future_steps: int) -> TrajectoryDecoder | ProposalDecoder:
    if getattr(encoder, "gives_proposals", False):
        return ProposalDecoder(recipe.dim, recipe.modes, future_steps, recipe.proposals.regions)
    return TrajectoryDecoder(recipe.dim, recipe.modes, future_steps)


def build_encoder(recipe: ForecastRecipe) -> nn.Module:
    """The encoder that a recipe names, built from those of the recipe's numbers that its constructor asks for by name.

    Raises:
        InputError: There is no such class, it is no `nn.Module`, or it asks for what the recipe does not have.
    """
    kind = resolve_given(ENCODERS.get(recipe.encoder, recipe.encoder), "encoder")
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise InputError(f"encoder {recipe.encoder}: expected a class of torch.nn.Module, got {kind!r}; name the class")
    numbers, wanted = vars(recipe) | vars(recipe.proposals), inspect.signature(kind).parameters
    needed = [name for name, p in wanted.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    missing = [name for name in needed if name not in numbers]
    if missing:
        raise InputError(
            f"encoder {recipe.encoder}: its constructor asks for {', '.join(missing)}, which no recipe has; give it a "
            f"default, or take one of {', '.join(name for name in numbers if name not in ('block', 'proposals'))}"
        )
    return kind(**numbers_for(kind, recipe))


def save_model(path: Path, model: Forecaster, recipe: ForecastRecipe, training: Training) -> None:
    """Writes a forecaster."""
    write_model(path, model, TASK.format, {"recipe": recipe.to_json(), "training": asdict(training)})


def load_model(path: Path, model: Forecaster | None = None) -> TrainedForecaster:
    """A model in evaluation mode, from its file or from the folder of its run.

    Args:
        path: The file or folder.
        model: Built like the one that was trained, where the recipe does not say how; it takes the weights.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe = ForecastRecipe.from_json(stored.metadata["recipe"])
        training = Training(**stored.metadata["training"])
        expect_types(recipe)
        expect_types(training)
        model = model or build_forecaster(recipe, training.future_steps)
        stored.load_into(model)
    return TrainedForecaster(model.eval(), recipe, training)
