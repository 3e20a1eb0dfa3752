"""Training losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from perception.heads.trajectory import TrajectoryModes


@dataclass(frozen=True)
class TrajectoryLoss:
    """Parts of the forecasting loss, each a mean over the predicted agents.

    Attributes:
        regression: Smooth L1 of the mode that ends nearest to the truth, metres.
        classification: Cross-entropy of the mode probabilities.
    """

    regression: Float[Tensor, ""]
    classification: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """What is minimised."""
        return self.regression + self.classification


def trajectory_loss(
    modes: TrajectoryModes,
    futures: Float[Tensor, "*agents steps 2"],
    futures_valid: Bool[Tensor, "*agents steps"],
    target_temperature_m: float = 0.0,
) -> TrajectoryLoss:
    """Winner takes all: only the mode that ends nearest to the truth is regressed; the scores learn which that is.

    Args:
        modes: Predicted futures.
        futures: True futures in the same frames.
        futures_valid: Where the truth is labelled; agents without any labelled step have no weight.
        target_temperature_m: Above 0, the scores learn softmax(-endpoint error / temperature) instead of the winner,
            so that a mode that ends almost as near is not taught to be improbable.
    """
    steps = torch.arange(futures.shape[-2], device=futures.device)
    last = torch.where(futures_valid, steps, -1).amax(-1)
    asked = last >= 0
    at_last = last.clamp_min(0)[..., None, None, None]
    error = modes.trajectories - futures.unsqueeze(-3)
    end_error = error.detach().gather(-2, at_last.expand(*error.shape[:-2], 1, 2)).squeeze(-2).norm(dim=-1)
    winner = end_error.argmin(-1)
    won = error.gather(-3, winner[..., None, None, None].expand(*winner.shape, 1, *error.shape[-2:])).squeeze(-3)
    per_step = F.smooth_l1_loss(won, torch.zeros_like(won), reduction="none").sum(-1) * futures_valid
    regression = per_step.sum(-1) / futures_valid.sum(-1).clamp_min(1)
    target = F.one_hot(winner, modes.logits.shape[-1]).float()
    if target_temperature_m > 0:
        target = (-end_error / target_temperature_m).softmax(-1)
    classification = -(target * modes.logits.float().log_softmax(-1)).sum(-1)
    weight = asked.float() / asked.sum().clamp_min(1)
    return TrajectoryLoss((regression * weight).sum(), (classification * weight).sum())
