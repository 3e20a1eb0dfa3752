"""mmTransformer's training loss (https://arxiv.org/abs/2103.11624, §3.4), with its regions of end points.

Its code was not released and the paper could not be read while this was written: the parts are those that the project's
notes record (Huber on the best proposal, KL of the confidences, classification of the region), added with weight 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from perception.heads.trajectory import TrajectoryModes
from perception.losses.trajectory import last_labelled, weighted_mean


@dataclass(frozen=True)
class ProposalLoss:
    """Parts of the loss, each a weighted mean over the predicted agents.

    Attributes:
        regression: Huber loss of the trained proposal that ends nearest to the truth, metres: mean over its steps.
        confidence: KL divergence of the trained proposals' confidences from a softmax over how near they end.
        region: Cross-entropy of the region that holds the true end; 0 where there is one region.
    """

    regression: Float[Tensor, ""]
    confidence: Float[Tensor, ""]
    region: Float[Tensor, ""]

    def total(self) -> Float[Tensor, ""]:
        """Returns the sum that is minimised."""
        return self.regression + self.confidence + self.region


def true_ends(
    futures: Float[Tensor, "*agents steps 2"], futures_valid: Bool[Tensor, "*agents steps"]
) -> Float[Tensor, "*agents 2"]:
    """Positions at the last labelled step."""
    last = last_labelled(futures_valid)
    return futures.gather(-2, last[..., None, None].expand(*last.shape, 1, 2)).squeeze(-2)


def proposal_loss(
    modes: TrajectoryModes,
    futures: Float[Tensor, "*agents steps 2"],
    futures_valid: Bool[Tensor, "*agents steps"],
    weights: Float[Tensor, "*agents"],
    region: Int[Tensor, "*agents"],
    regions: int = 1,
) -> ProposalLoss:
    """Trains the proposals of one region an agent: that which holds the true end.

    Args:
        modes: Proposals, those of a region beside each other.
        futures: True futures in the same frames, metres.
        futures_valid: False for steps without a label.
        weights: Weights of the agents; must be 0 for agents without a labelled step.
        region: Region that holds each agent's true end.
        regions: Number of regions.
    """
    logits = modes.logits.float().unflatten(-1, (regions, -1))
    error = (modes.trajectories - futures.unsqueeze(-3)).unflatten(-3, (regions, -1))
    own_logits = logits.gather(-2, region[..., None, None].expand(*region.shape, 1, logits.shape[-1])).squeeze(-2)
    own = region[..., None, None, None, None].expand(*region.shape, 1, *error.shape[-3:])
    own_error = error.gather(-4, own).squeeze(-4)

    last = last_labelled(futures_valid)
    at_last = last[..., None, None, None].expand(*own_error.shape[:-2], 1, 2)
    end_error = own_error.detach().gather(-2, at_last).squeeze(-2).norm(dim=-1)
    winner = end_error.argmin(-1)
    won = own_error.gather(-3, winner[..., None, None, None].expand(*winner.shape, 1, *own_error.shape[-2:])).squeeze(
        -3
    )
    per_step = F.huber_loss(won, torch.zeros_like(won), reduction="none").sum(-1) * futures_valid
    regression = per_step.sum(-1) / futures_valid.sum(-1).clamp_min(1)

    wanted = (-end_error).log_softmax(-1)
    confidence = (wanted.exp() * (wanted - own_logits.log_softmax(-1))).sum(-1)
    of_regions = logits.logsumexp(-1).log_softmax(-1)
    missed = -of_regions.gather(-1, region.unsqueeze(-1)).squeeze(-1)
    return ProposalLoss(*(weighted_mean(part, weights) for part in (regression, confidence, missed)))
