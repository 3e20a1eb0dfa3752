"""Puts an encoder of your own before the frozen block: trains, evaluates and replays it, without a change in the tree.

    python tools/examples/own_encoder.py --data ARGOVERSE --out runs/own
    python tools/examples/own_encoder.py --data ARGOVERSE --out runs/own --log SENSOR_LOG

The first half is what these commands do, run in the folder of this file:

    perception train forecast/vectornet-llama --encoder own_encoder:PolylineMeans --data ARGOVERSE --out runs/own
    perception evaluate runs/own --data ARGOVERSE --out report
    perception replay SENSOR_LOG --checkpoint runs/own
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import tyro
from torch import nn

from perception.encoders.vectornet.input import VectorizedInput
from perception.encoders.vectornet.network import PoseEmbedding
from perception.encoders.vectornet.vectorize import AGENT_FEATURES, LANE_FEATURES
from perception.encoders.vectornet.views import VectorBatch
from perception.frozen.adapter import build_adapter
from perception.heads.trajectory import TrajectoryDecoder
from perception.models.forecaster import Forecaster
from perception.tokens import Tokens
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.evaluate import evaluate_models
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.recipes import RECIPES, ForecastRecipe
from perception_tools.forecasting.replay import play
from perception_tools.forecasting.run import ForecastRun
from perception_tools.training.fit import fit

NAME = "forecast/vectornet-llama"
"""The recipe whose encoder is replaced."""


class PolylineMeans(nn.Module):
    """One token for each agent and lane: the mean of its encoded vectors, and where it lies in the scene.

    Args:
        dim: Width of the tokens. A recipe passes those of its numbers that a constructor names.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.input = VectorizedInput("scene")  # what `forward` gets; without it, the view that the recipe says
        self.agents = nn.Sequential(nn.Linear(AGENT_FEATURES, dim), nn.GELU(), nn.Linear(dim, dim))
        self.lanes = nn.Sequential(nn.Linear(LANE_FEATURES, dim), nn.GELU(), nn.Linear(dim, dim))
        self.place = PoseEmbedding(dim)

    def forward(self, batch: VectorBatch) -> Tokens:
        """Tokens of every scene; the head reads those that `batch.readout` names."""
        polylines = torch.cat([self.agents(batch.agent_vectors).mean(1), self.lanes(batch.lane_vectors).mean(1)])
        return Tokens(polylines[batch.token_index] + self.place(batch.token_poses), batch.token_valid)


def train_by_name(run: ForecastRun) -> Path:
    """Trains the recipe's model around the encoder; its files can be used by every command that finds this module."""
    return fit(replace(run, recipe=replace(run.recipe, encoder="own_encoder:PolylineMeans")))


def train_a_model(run: ForecastRun) -> Forecaster:
    """Trains a model that is composed here: with a head, a block or an input of your own too."""
    torch.manual_seed(run.recipe.seed)
    dim, block = run.recipe.dim, run.recipe.block
    adapter = build_adapter(dim, source=block.source, init="default", matched=True, residual=True)
    head = TrajectoryDecoder(dim, run.recipe.modes, open_forecasting(run.data, run.split)[0].future_steps)
    model = Forecaster(PolylineMeans(dim), adapter, head)
    fit(run, model)
    return model


def main(
    data: Path,
    out: Path,
    recipe: tyro.conf.OmitArgPrefixes[ForecastRecipe] = RECIPES[NAME],
    log: Path | None = None,
) -> dict:
    """Trains the encoder in both ways and evaluates them side by side.

    Args:
        data: Folder of Argoverse 1 or 2, sensor logs, synthetic scenarios, or a store.
        out: Folder for two runs and a report.
        recipe: Its numbers; each has an option.
        log: An Argoverse 2 sensor log to replay; its history and future must be as long as those of the data.
    """
    by_name = ForecastRun(data=data, out=out / "by_name", name=NAME, recipe=recipe)
    train_by_name(by_name)
    composed = replace(by_name, out=out / "composed")
    trained = load_model(composed.out, train_a_model(composed))
    metrics = evaluate_models([by_name.out, trained], data, out / "report")
    return metrics if log is None else metrics | {"replay": play(log, trained).summary()}


if __name__ == "__main__":
    tyro.cli(main)
