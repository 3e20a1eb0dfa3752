"""An encoder of your own before the frozen block, without a change in the tree.

In the folder of this file, or with the folder on PYTHONPATH:

    perception train forecast/vectornet-llama --encoder own_encoder:PolylineMeans --data ARGOVERSE --out runs/own
    perception evaluate runs/own --data ARGOVERSE --out runs/own/report
    perception replay SENSOR_LOG --checkpoint runs/own

The same as a program: python tools/examples/own_encoder.py --data ARGOVERSE --out runs/own [--log SENSOR_LOG]
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import tyro
from torch import nn

from perception.encoders.vectornet.batch import VectorBatch
from perception.encoders.vectornet.network import PoseEmbedding
from perception.encoders.vectornet.vectorize import AGENT_FEATURES, LANE_FEATURES
from perception.tokens import Tokens
from perception_tools.forecasting.recipes import RECIPES, ForecastRecipe

NAME = "forecast/vectornet-llama"


class PolylineMeans(nn.Module):
    """One token for each agent and lane: the mean of its encoded vectors, and where it lies in the view.

    Args:
        dim: Width of the tokens. A recipe passes those of its numbers that the constructor names.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.agents = nn.Sequential(nn.Linear(AGENT_FEATURES, dim), nn.GELU(), nn.Linear(dim, dim))
        self.lanes = nn.Sequential(nn.Linear(LANE_FEATURES, dim), nn.GELU(), nn.Linear(dim, dim))
        self.place = PoseEmbedding(dim)

    def forward(self, batch: VectorBatch) -> Tokens:
        """Tokens of every view; the head reads those that `batch.readout` names."""
        polylines = torch.cat([self.agents(batch.agent_vectors).mean(1), self.lanes(batch.lane_vectors).mean(1)])
        return Tokens(polylines[batch.token_index] + self.place(batch.token_poses), batch.token_valid)


def main(
    data: Path,
    out: Path,
    recipe: tyro.conf.OmitArgPrefixes[ForecastRecipe] = RECIPES[NAME],
    log: Path | None = None,
) -> dict:
    """Trains the encoder, evaluates it, and replays a log through it.

    Args:
        data: Folder of Argoverse 1 or 2, sensor logs, synthetic scenarios, or a store.
        out: Folder for the run and its report.
        recipe: Its numbers; each has an option.
        log: An Argoverse 2 sensor log, whose steps are those of the data.
    """
    # Imported here, so that a robot that loads the encoder needs neither a trainer nor a reader
    from perception_tools.forecasting.evaluate import evaluate_models
    from perception_tools.forecasting.replay import play
    from perception_tools.forecasting.run import ForecastRun
    from perception_tools.training.fit import fit

    fit(ForecastRun(data=data, out=out, name=NAME, recipe=replace(recipe, encoder="own_encoder:PolylineMeans")))
    metrics = evaluate_models([out], data, out / "report")
    return metrics if log is None else metrics | {"replay": play(log, out).summary()}


if __name__ == "__main__":
    tyro.cli(main)
