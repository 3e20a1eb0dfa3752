"""A model that you compose in Python: trained, evaluated and replayed as the recipes' models are.

    python tools/examples/own_model.py --data ARGOVERSE --out runs/composed [--log SENSOR_LOG]

The encoder is that of own_encoder.py, beside this file.
"""

from __future__ import annotations

from pathlib import Path

import torch
import tyro
from own_encoder import PolylineMeans

from perception.encoders.vectornet.input import VectorizedInput
from perception.frozen.adapter import build_adapter
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.evaluate import evaluate_models
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.recipes import RECIPES, ForecastRecipe
from perception_tools.forecasting.replay import play
from perception_tools.forecasting.run import ForecastRun
from perception_tools.training.fit import fit

NAME = "forecast/vectornet-llama"
"""The recipe whose numbers are used for learning; the model is the one below."""


def build(recipe: ForecastRecipe, future_steps: int) -> Forecaster:
    """Input → encoder → frozen block → head; each of them can be yours."""
    torch.manual_seed(recipe.seed)
    return Forecaster(
        encoder=PolylineMeans(recipe.dim),
        block=build_adapter(recipe.dim, source=recipe.block.source, matched=True, residual=True),
        head=TrajectoryDecoder(recipe.dim, recipe.modes, future_steps),
        input=VectorizedInput("agent", max_tokens=80),
    )


def main(
    data: Path,
    out: Path,
    recipe: tyro.conf.OmitArgPrefixes[ForecastRecipe] = RECIPES[NAME],
    log: Path | None = None,
) -> dict:
    """Trains the model, evaluates it, and replays a log through it.

    Args:
        data: Folder of Argoverse 1 or 2, sensor logs, synthetic scenarios, or a store.
        out: Folder for the run and its report.
        recipe: Its numbers; each has an option.
        log: An Argoverse 2 sensor log, whose steps are those of the data.
    """
    future_steps = open_forecasting(data, "train")[0].future_steps
    fit(ForecastRun(data=data, out=out, name=NAME, recipe=recipe), build(recipe, future_steps))
    # The run's recipe does not say how the model was built, so that loading it again takes a model built alike
    trained = load_model(out, build(recipe, future_steps))
    metrics = evaluate_models([trained], data, out / "report")
    return metrics if log is None else metrics | {"replay": play(log, trained).summary()}


if __name__ == "__main__":
    tyro.cli(main)
