"""How a forecaster learns, under Lightning: its steps, its loss, its validation."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from perception.encoders.forecasting import ForecastBatch
from perception.heads.trajectory import TrajectoryModes
from perception.heads.trajectory_proposals import ProposalDecoder
from perception.losses.trajectory import TrajectoryLoss, trajectory_loss
from perception.losses.trajectory_proposals import ProposalLoss, proposal_loss, true_ends
from perception.metrics.forecasting import MISS_RADIUS_M
from perception.models.forecaster import Forecaster
from perception_tools.forecasting.data import TrainingBatch
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.training.lightning_task import LearningTask


class ForecastTask(LearningTask[ForecastRecipe, Forecaster]):
    """A forecaster and how it learns.

    Args:
        recipe: All numbers.
        model: The forecaster.
    """

    def __init__(self, recipe: ForecastRecipe, model: Forecaster) -> None:
        super().__init__(recipe, model)
        self.failures: dict[str, str] = {}

    @override
    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Float[Tensor, ""]:
        """The recipe's loss of every predicted agent of every process."""
        self.failures |= batch.failures
        views = batch.views
        total, parts = self._loss(self.model(views), views, batch.weights)
        share = self.share(batch.weights.sum())
        self.log_step({"train/loss": total} | {f"train/{name}": part for name, part in vars(parts).items()}, share)
        return total * share

    def _loss(
        self, modes: TrajectoryModes, views: ForecastBatch, weights: Float[Tensor, "views rows"]
    ) -> tuple[Float[Tensor, ""], TrajectoryLoss | ProposalLoss]:
        """The recipe's loss, as a sum and in parts."""
        truth = views.futures, views.futures_valid
        if self.recipe.loss == "winner":
            parts = trajectory_loss(modes, *truth, weights, self.recipe.winners(self.trained))
            return parts.total(self.recipe.expected_error_weight), parts
        ends, head = true_ends(*truth), self.model.head
        if isinstance(head, ProposalDecoder):
            parts = proposal_loss(modes, *truth, weights, head.region_of(ends), head.regions)
        else:
            parts = proposal_loss(modes, *truth, weights, torch.zeros_like(ends[..., 0], dtype=torch.long))
        return parts.total(), parts

    @override
    def validation_step(self, batch: ForecastBatch, batch_idx: int) -> None:
        """The benchmark's numbers of the focal agents."""
        modes = self.model.answer(batch)
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
