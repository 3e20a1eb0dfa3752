"""K futures from the proposals that an encoder made: mmTransformer's prediction header and its regions.

Multimodal Motion Prediction with Stacked Transformers (https://arxiv.org/abs/2103.11624), §3.3–3.4. Layers and names
are those of the released header (decisionforce/mmTransformer, `GeneratorWithParallelHeads626`). The regions were not
released, and the paper could not be read while this was written: how six of 36 proposals are chosen is ours.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from perception.encoders.mm_transformer.attention import PointerwiseFeedforward
from perception.heads.trajectory import TrajectoryModes

HIDDEN = 128
ANSWERED = 6
"""Number of futures that are given out of more proposals: what the benchmarks score."""
APART_M = 2.0
"""A proposal that ends this near to a likelier one is given out only after all others (ours): a miss's radius."""


class ProposalDecoder(nn.Module):
    """Regresses the steps of every proposal, which add up, and scores it.

    With several regions the proposals are shared out evenly among them, in their order: those of region 0 come first.
    An end point lies in the region with the least |end − centre|² − weight, a power diagram; training
    (`perception_tools.forecasting.regions`) chooses both so that all regions hold as many end points.

    Args:
        dim: Width of agents and proposals.
        modes: Number of proposals, K.
        steps: Future steps.
        regions: Number of regions of the end points; 1 trains all proposals together.
    """

    region_centers: Tensor
    region_weights: Tensor

    def __init__(self, dim: int = 128, modes: int = 6, steps: int = 30, regions: int = 1) -> None:
        super().__init__()
        if modes % regions:
            raise ValueError(f"ProposalDecoder: expected regions that divide modes={modes}, got regions={regions}")
        self.steps, self.regions = steps, regions
        self.reg_mlp = nn.Sequential(
            nn.Linear(2 * dim, 2 * HIDDEN),
            nn.LayerNorm(2 * HIDDEN),
            nn.ReLU(),
            nn.Linear(2 * HIDDEN, HIDDEN),
            nn.Linear(HIDDEN, 2 * steps),
        )
        self.cls_FFN = PointerwiseFeedforward(2 * dim, 4 * dim)
        self.classification_layer = nn.Sequential(nn.Linear(2 * dim, HIDDEN), nn.Linear(HIDDEN, 1))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.register_buffer("region_centers", torch.zeros(regions, 2))
        self.register_buffer("region_weights", torch.zeros(regions))

    def forward(
        self,
        agents: Float[Tensor, "*agents dim"],
        proposals: Float[Tensor, "*agents modes dim"],
        headings: Float[Tensor, "*agents 2"],
    ) -> TrajectoryModes:
        """K futures for every row.

        Args:
            agents: What the block gave for each agent.
            proposals: The encoder's, or the block's.
            headings: Cosine and sine of each agent's heading in the frame of the proposals.
        """
        x = torch.cat([agents.unsqueeze(-2).expand_as(proposals), proposals], dim=-1)
        offsets = self.reg_mlp(x).unflatten(-1, (self.steps, 2)).float()
        seen = offsets.cumsum(-2)
        cos, sin = headings[..., None, None, 0], headings[..., None, None, 1]
        ahead, left = cos * seen[..., 0] + sin * seen[..., 1], cos * seen[..., 1] - sin * seen[..., 0]
        logits = self.classification_layer(self.cls_FFN(x)).squeeze(-1)
        return TrajectoryModes(torch.stack([ahead, left], dim=-1), logits)

    def set_regions(self, centers: Float[Tensor, "regions 2"], weights: Float[Tensor, " regions"]) -> None:
        """Sets where end points belong; metres and squared metres."""
        self.region_centers.copy_(centers)
        self.region_weights.copy_(weights)

    def region_of(self, ends: Float[Tensor, "*agents 2"]) -> Int[Tensor, "*agents"]:
        """The region of each end point, which is in its agent's own frame, metres."""
        squared = (ends.unsqueeze(-2) - self.region_centers).square().sum(-1)
        return (squared - self.region_weights).argmin(-1)

    def answer(self, modes: TrajectoryModes) -> TrajectoryModes:
        """At most `ANSWERED` futures: the likeliest, then the likeliest of those that end apart from all before.

        Of equally likely ones the first comes first, in an exported graph too: probabilities are compared as they are,
        since arithmetic on them rounds differently there.
        """
        count = modes.logits.shape[-1]
        if count <= ANSWERED:
            return modes
        rank = modes.probabilities
        ends = modes.trajectories[..., -1, :]
        near = (ends.unsqueeze(-2) - ends.unsqueeze(-3)).norm(dim=-1) < APART_M
        chosen, taken = [], torch.zeros_like(rank, dtype=torch.bool)
        for _ in range(ANSWERED):
            apart = torch.where(taken & ~taken.all(-1, keepdim=True), -torch.inf, rank)
            best = apart.argmax(-1, keepdim=True)
            chosen.append(best)
            taken = taken | near.gather(-2, best.unsqueeze(-1).expand(*best.shape, count)).squeeze(-2)
            rank = rank.scatter(-1, best, -torch.inf)
        index = torch.cat(chosen, dim=-1)
        trajectories = modes.trajectories.gather(
            -3, index[..., None, None].expand(*index.shape, *modes.trajectories.shape[-2:])
        )
        return TrajectoryModes(trajectories, modes.logits.gather(-1, index))
