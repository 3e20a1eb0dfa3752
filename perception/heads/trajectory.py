"""K futures and their probabilities from an agent's token."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor, nn

from perception.encoders.vectornet.vectorize import POSITION_SCALE
from perception.traffic.scenario import STEP_S

CONTROL_POINTS = 6
"""Number of control points of a deviation, without its fixed start. The best such curves miss the true ends of
AV1-mini's val scenes by 0.10 m, the size of the tracks' own noise."""


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
        """Probabilities of the modes, in float32."""
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


def bernstein(degree: int, steps: int) -> Float[Tensor, "{steps} {degree}"]:
    """What each control point but the first adds to a Bézier curve at every step; the curve ends in the last one."""
    s = torch.arange(1, steps + 1) / steps
    return torch.stack([comb(degree, k) * s**k * (1 - s) ** (degree - k) for k in range(1, degree + 1)], dim=1)


class TrajectoryDecoder(nn.Module):
    """Regresses K deviations from going on at the present velocity, then scores each future by where it ends.

    Constant velocity is where every agent's best guess starts; a network that has to find it first spends most of a
    short training on that. A deviation is a Bézier curve from the present position, so that every future is smooth;
    SIMPL (https://arxiv.org/abs/2402.02519) decodes whole trajectories so.

    Args:
        dim: Width of the token.
        modes: K.
        steps: Future steps.
    """

    elapsed_s: Tensor
    bernstein: Tensor

    def __init__(self, dim: int, modes: int = 6, steps: int = 30) -> None:
        super().__init__()
        self.mode = nn.Parameter(torch.randn(modes, dim) * 0.5)
        self.regress = nn.Sequential(ResidualMLP(dim), nn.Linear(dim, 2 * CONTROL_POINTS))
        self.endpoint = nn.Sequential(nn.Linear(2, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.score = nn.Sequential(ResidualMLP(dim), nn.Linear(dim, 1))
        self.register_buffer("elapsed_s", STEP_S * torch.arange(1, steps + 1).unsqueeze(-1), persistent=False)
        self.register_buffer("bernstein", bernstein(CONTROL_POINTS, steps), persistent=False)

    @property
    def steps(self) -> int:
        """Number of future steps."""
        return len(self.elapsed_s)

    def answer(self, modes: TrajectoryModes) -> TrajectoryModes:
        """The futures that are given out: all."""
        return modes

    def forward(
        self,
        agents: Float[Tensor, "*agents dim"],
        velocities: Float[Tensor, "*agents 2"],
        seen: Float[Tensor, "*agents modes dim"] | None = None,
    ) -> TrajectoryModes:
        """K futures for every row.

        Args:
            agents: Tokens.
            velocities: Present velocity of each agent in its own frame, m/s.
            seen: What each future has seen by itself (`ModeTokens`); nothing where not given.
        """
        x = agents.unsqueeze(-2) + self.mode
        if seen is not None:
            x = x + seen
        control_points = self.regress(x).unflatten(-1, (CONTROL_POINTS, 2)).float() / POSITION_SCALE
        with torch.autocast(control_points.device.type, enabled=False):  # bfloat16 is 0.25 m coarse at 50 m
            deviations = self.bernstein @ control_points
        trajectories = velocities[..., None, None, :] * self.elapsed_s + deviations
        ends = trajectories[..., -1, :].detach() * POSITION_SCALE
        logits = self.score(x + self.endpoint(ends)).squeeze(-1)
        return TrajectoryModes(trajectories, logits)
