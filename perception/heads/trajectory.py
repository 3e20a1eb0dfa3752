"""K futures and their probabilities from an agent's token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class TrajectoryModes:
    """K futures of each agent, each agent in its own present frame.

    Attributes:
        trajectories: Positions, metres.
        logits: Unnormalised log-probabilities of the modes.
    """

    trajectories: Float[Tensor, "*agents modes steps 2"]
    logits: Float[Tensor, "*agents modes"]

    @property
    def probabilities(self) -> Float[Tensor, "*agents modes"]:
        """Of the modes, in float32."""
        return self.logits.float().softmax(dim=-1)


class ResidualMLP(nn.Module):
    """ReLU(norm(x + MLP(x))): LaneGCN's linear residual block (https://arxiv.org/abs/2007.13732, §3.5)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, dim))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "*n dim"]) -> Float[Tensor, "*n dim"]:
        """Same shape."""
        return self.norm(x + self.mlp(x)).relu()


class TrajectoryDecoder(nn.Module):
    """Regresses K futures from an agent's token, then scores each by where it ends.

    Args:
        dim: Width of the token.
        modes: K.
        steps: Future steps.
    """

    def __init__(self, dim: int, modes: int = 6, steps: int = 30) -> None:
        super().__init__()
        self.modes, self.steps = modes, steps
        self.mode = nn.Parameter(torch.randn(modes, dim) * 0.5)
        self.regress = nn.Sequential(ResidualMLP(dim), nn.Linear(dim, 2 * steps))
        self.endpoint = nn.Sequential(nn.Linear(2, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.score = nn.Sequential(ResidualMLP(dim), nn.Linear(dim, 1))

    def forward(self, agents: Float[Tensor, "*agents dim"]) -> TrajectoryModes:
        """K futures for every row."""
        x = agents.unsqueeze(-2) + self.mode
        trajectories = self.regress(x).unflatten(-1, (self.steps, 2)).float() * 10
        ends = trajectories[..., -1, :].detach() / 10
        logits = self.score(x + self.endpoint(ends)).squeeze(-1)
        return TrajectoryModes(trajectories, logits)
