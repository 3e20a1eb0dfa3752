"""Training a forecaster under Lightning: the step, the optimiser, and what a checkpoint holds."""

from __future__ import annotations

import math
from typing import Any, cast

import lightning.pytorch as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from perception.encoders.vectornet import VectorNet
from perception.frozen.adapter import build_adapter
from perception.frozen.checkpoint import (
    check_fingerprints,
    fingerprints,
    frozen_block_weights,
    trainable_state_dict,
)
from perception.heads.trajectory import TrajectoryDecoder
from perception.losses import trajectory_loss
from perception.metrics.forecasting import MISS_RADIUS_M
from perception.models.forecaster import Forecaster
from perception.views import VectorBatch
from perception_tools.forecast_data import TrainingBatch
from perception_tools.recipes import ForecastRecipe

FINAL_LEARNING_RATE = 0.01
"""Where the cosine ends, as a part of the peak."""


def build_forecaster(recipe: ForecastRecipe, future_steps: int) -> Forecaster:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        future_steps: Length of a forecast: 30 in Argoverse 1, 60 in Argoverse 2.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = VectorNet(recipe.dim, global_layers=recipe.global_layers, heads=recipe.heads, dropout=recipe.dropout)
        head = TrajectoryDecoder(recipe.dim, recipe.modes, future_steps)
        block = build_adapter(
            recipe.dim,
            kind=recipe.block.kind,
            source=recipe.block.source,
            frozen=recipe.block.frozen,
            post_norm=recipe.block.post_norm,
            bias=recipe.block.bias,
            init=recipe.block.init,
            matched=recipe.block.matched,
            residual=recipe.block.residual,
            seed=recipe.seed,
        )
    return Forecaster(encoder, block, head, frame=recipe.frame, max_tokens=recipe.max_tokens)


def parameter_groups(model: Forecaster, recipe: ForecastRecipe) -> list[dict]:
    """Trainable parameters by weight decay (matrices only) and learning rate (the projections have their own)."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("block."), parameter.ndim > 1), []).append(parameter)
    multiplier = recipe.block.learning_rate_multiplier
    return [
        {
            "params": parameters,
            "lr": recipe.learning_rate * (multiplier if in_block else 1.0),
            "weight_decay": recipe.weight_decay if is_matrix else 0.0,
        }
        for (in_block, is_matrix), parameters in groups.items()
    ]


def learning_rate_factor(step: int, warmup: int, total: int) -> float:
    """Linear warm-up, then a cosine to `FINAL_LEARNING_RATE`, as a part of the peak."""
    progress = min(step / max(total, 1), 1.0)
    cosine = FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * 0.5 * (1 + math.cos(math.pi * progress))
    return cosine * min(1.0, (step + 1) / max(warmup, 1))


class ForecastTask(pl.LightningModule):
    """A forecaster and how it learns.

    Args:
        recipe: All numbers.
        future_steps: Length of a forecast.
    """

    def __init__(self, recipe: ForecastRecipe, future_steps: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.model = build_forecaster(recipe, future_steps)
        self.failures: dict[str, str] = {}

    @override
    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Seeds dropout by step, so that a resumed run draws what an unbroken run draws.

        Once an epoch would not do: Lightning does not call `on_train_epoch_start` after a resume.
        """
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.global_step * 1_009 + self.global_rank)

    @override
    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Float[Tensor, ""]:
        """Winner-takes-all loss of every predicted agent of every process."""
        self.failures |= batch.failures
        views = batch.views
        loss = trajectory_loss(self.model(views), views.futures, views.futures_valid, batch.weights)
        total = loss.total(self.recipe.expected_error_weight)
        self.log_dict(
            {
                "train/loss": total,
                "train/regression": loss.regression,
                "train/classification": loss.classification,
                "train/expected_end_error": loss.expected_end_error,
            },
            prog_bar=False,
            batch_size=len(views.rows),
        )
        return total * self._share(batch.weights.sum())

    def _share(self, weight: Tensor) -> Tensor | float:
        """What makes the mean over processes (DDP's gradient) the weighted mean over all agents."""
        if self.trainer.world_size == 1:
            return 1.0
        everywhere = cast(Tensor, self.all_gather(weight)).sum()
        return weight * self.trainer.world_size / everywhere

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

    @override
    def configure_optimizers(self) -> dict:
        """AdamW (Pang et al., §C.4) under warm-up and cosine, by step."""
        fused = self.recipe.precision == "32-true"  # in mixed precision Lightning cannot clip before a fused step
        optimizer = torch.optim.AdamW(parameter_groups(self.model, self.recipe), fused=fused)
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, self.recipe.warmup_steps, total)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @override
    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Leaves frozen blocks out: their fingerprints are enough to find them again."""
        checkpoint["state_dict"] = trainable_state_dict(self)
        checkpoint["blocks"] = fingerprints(self)

    @override
    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Puts the frozen blocks back, so that loading stays strict."""
        check_fingerprints(self, checkpoint["blocks"])
        checkpoint["state_dict"] |= frozen_block_weights(self)
