"""Training a forecaster under Lightning: a recipe's model and its steps."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from perception.encoders.vectornet.network import VectorNet
from perception.encoders.vectornet.views import VectorBatch
from perception.heads.trajectory import TrajectoryDecoder
from perception.losses.trajectory import trajectory_loss
from perception.metrics.forecasting import MISS_RADIUS_M
from perception.models.forecaster import Forecaster
from perception_tools.forecasting.data import TrainingBatch
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.lightning_task import LearningTask, build_block


def build_forecaster(recipe: ForecastRecipe, future_steps: int) -> Forecaster:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        future_steps: Length of a forecast: 30 in Argoverse 1, 60 in Argoverse 2.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = VectorNet(
            recipe.dim,
            global_layers=recipe.global_layers,
            heads=recipe.heads,
            dropout=recipe.dropout,
            pairwise=recipe.frame == "pairwise",
        )
        head = TrajectoryDecoder(recipe.dim, recipe.modes, future_steps)
        block = build_block(recipe.dim, recipe.block, recipe.seed)
    return Forecaster(encoder, block, head, frame=recipe.frame, max_tokens=recipe.max_tokens)


class ForecastTask(LearningTask[ForecastRecipe, Forecaster]):
    """A forecaster and how it learns.

    Args:
        recipe: All numbers.
        future_steps: Length of a forecast.
    """

    def __init__(self, recipe: ForecastRecipe, future_steps: int) -> None:
        super().__init__(recipe, build_forecaster(recipe, future_steps))
        self.failures: dict[str, str] = {}

    @override
    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Float[Tensor, ""]:
        """Winner-takes-all loss of every predicted agent of every process."""
        self.failures |= batch.failures
        views = batch.views
        loss = trajectory_loss(self.model(views), views.futures, views.futures_valid, batch.weights)
        total, share = loss.total(self.recipe.expected_error_weight), self.share(batch.weights.sum())
        self.log_step(
            {
                "train/loss": total,
                "train/regression": loss.regression,
                "train/classification": loss.classification,
                "train/expected_end_error": loss.expected_end_error,
            },
            share,
        )
        return total * share

    @override
    def validation_step(self, batch: VectorBatch, batch_idx: int) -> None:
        """The benchmark's numbers of the focal agents."""
        modes = self.model(batch)
        rows = batch.rows_valid
        truth, trajectories = batch.futures[rows], modes.trajectories[rows]
        distance = (trajectories - truth.unsqueeze(1)).norm(dim=-1)
        end = distance[..., -1]
        best = end.min(dim=1).values
        likely = end.gather(1, modes.probabilities[rows].argmax(dim=1, keepdim=True))
        numbers = {
            "val/min_fde": best.mean(),
            "val/min_ade": distance.mean(-1).min(dim=1).values.mean(),
            "val/miss_rate": (best > MISS_RADIUS_M).float().mean(),
            "val/min_fde_k1": likely.mean(),
        }
        # A float, since Lightning averages this weight over the processes in its own type: of 3 and 2 it would make 2.
        weight: Any = float(len(best))
        self.log_dict(numbers, batch_size=weight, sync_dist=True)
        self.log("min_fde", numbers["val/min_fde"], prog_bar=True, logger=False, batch_size=weight, sync_dist=True)
