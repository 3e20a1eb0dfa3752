"""PointNet++: Deep Hierarchical Feature Learning on Point Sets in a Metric Space (https://arxiv.org/abs/1706.02413).

The single-scale version used by VoteNet and its successors, which divides relative coordinates by the radius.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from perception.batches import TensorRecord
from perception.clouds.grouping import ball_query, farthest_points, interpolate, take
from perception.kernels.linear import InferenceLinear, inference_linear


@dataclass(frozen=True)
class Level:
    """Sizes of one set abstraction level.

    Attributes:
        centres: Number of points that it keeps.
        radius: Radius of the balls around them, metres.
        neighbours: Number of points per ball.
        widths: Widths of the layers applied to every point of a ball before the maximum.
    """

    centres: int
    radius: float
    neighbours: int
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Sampled(TensorRecord):
    """What the first level takes of clouds; it depends on all of their points, but on no weight.

    Attributes:
        centres: Indices of the points that it keeps.
        neighbours: Indices of the points in the ball around each.
    """

    centres: Int[Tensor, "clouds centres"]
    neighbours: Int[Tensor, "clouds centres neighbours"]


class PointMLP(nn.Module):
    """Layers of linear map, BatchNorm and ReLU applied to each point, equal to 1x1 convolutions.

    Args:
        widths: Width of the input, then of each layer.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(before, after, bias=False) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(after) for after in widths[1:])

    def forward(self, x: Float[Tensor, "*points features"]) -> Float[Tensor, "*points width"]:
        """Returns the features of the same points."""
        rows = x.flatten(0, -2)
        for linear, norm in zip(self.linears, self.norms, strict=True):
            rows = (norm(linear(rows)) if self.training else _normed_linear(linear, norm, rows)).relu_()
        return rows.unflatten(0, x.shape[:-1])


def _normed_linear(
    linear: nn.Module, norm: nn.Module, rows: Float[Tensor, "rows features"]
) -> Float[Tensor, "rows width"]:
    """Returns `norm(linear(rows))` in evaluation mode as a single linear map, which saves a pass over all rows."""
    assert isinstance(linear, nn.Linear)
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    product = inference_linear if isinstance(linear, InferenceLinear) else F.linear
    return product(rows, linear.weight * scale.unsqueeze(1), norm.bias - norm.running_mean * scale)


class SetAbstraction(nn.Module):
    """Encodes the features of the points around each centre to one feature (§3.2)."""

    def __init__(self, features: int, radius: float, neighbours: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.radius, self.neighbours = radius, neighbours
        self.mlp = PointMLP((3 + features, *widths))

    def forward(
        self,
        centres: Float[Tensor, "batch centres 3"],
        points: Float[Tensor, "batch points 3"],
        features: Float[Tensor, "batch points features"],
        index: Int[Tensor, "batch centres neighbours"] | None = None,
    ) -> Float[Tensor, "batch centres width"]:
        """Returns one feature per centre.

        Args:
            centres: Positions of the centres.
            points: Positions of the points.
            features: Features of the points.
            index: Indices of the points in each ball, where they are known already.
        """
        if index is None:
            index = ball_query(centres, points, self.radius, self.neighbours)
        relative = (take(points, index) - centres.unsqueeze(2)) / self.radius
        encoded = self.mlp(torch.cat([relative, take(features, index)], dim=-1))
        # Both give the same values: `max` is cheaper to differentiate, `amax` ten times cheaper to compute.
        return encoded.max(2).values if torch.is_grad_enabled() else encoded.amax(2)


class FeaturePropagation(nn.Module):
    """Interpolates the features of a coarse level at the points of a finer one and encodes them (§3.4)."""

    def __init__(self, coarse: int, fine: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.mlp = PointMLP((coarse + fine, *widths))

    def forward(
        self,
        fine_points: Float[Tensor, "batch fine 3"],
        fine: Float[Tensor, "batch fine fine_features"],
        coarse_points: Float[Tensor, "batch coarse 3"],
        coarse: Float[Tensor, "batch coarse coarse_features"],
    ) -> Float[Tensor, "batch fine width"]:
        """Returns one feature per fine point."""
        return self.mlp(torch.cat([interpolate(fine_points, coarse_points, coarse), fine], dim=-1))


class PointNet2(nn.Module):
    """The backbone: set abstraction through all levels, then feature propagation to the second level: the seeds.

    Args:
        features: Number of features per point, besides the coordinates.
        levels: At least three levels, each with fewer centres than the one before.
        widths: Widths of every feature propagation.
    """

    def __init__(self, features: int, levels: Sequence[Level], widths: Sequence[int]) -> None:
        super().__init__()
        self.centres = [level.centres for level in levels]
        if len(levels) < 3 or self.centres != sorted(self.centres, reverse=True):
            raise ValueError(f"PointNet2: expected at least three levels with decreasing centres, got {self.centres}")
        out = [level.widths[-1] for level in levels]
        self.down = nn.ModuleList(
            SetAbstraction(before, level.radius, level.neighbours, level.widths)
            for before, level in zip([features, *out[:-1]], levels, strict=True)
        )
        skipped = out[-2:0:-1]
        coarse = [out[-1], *[widths[-1]] * (len(skipped) - 1)]
        self.up = nn.ModuleList(
            FeaturePropagation(below, fine, widths) for below, fine in zip(coarse, skipped, strict=True)
        )

    def sample(self, points: Float[Tensor, "batch points 3"]) -> Sampled:
        """What the first level takes of clouds."""
        first = self.down[0]
        assert isinstance(first, SetAbstraction)
        chosen = farthest_points(points, self.centres[0])
        return Sampled(chosen, ball_query(take(points, chosen), points, first.radius, first.neighbours))

    def forward(
        self,
        points: Float[Tensor, "batch points 3"],
        features: Float[Tensor, "batch points features"],
        sampled: Sampled | None = None,
    ) -> tuple[Int[Tensor, "batch seeds"], Float[Tensor, "batch seeds 3"], Float[Tensor, "batch seeds width"]]:
        """Returns the indices of the seeds among the points, their positions and features.

        Args:
            points: Positions of the points.
            features: Features of the points.
            sampled: From `sample`, where it is known already.
        """
        sampled = sampled or self.sample(points)
        centres = take(points, sampled.centres)  # of every level: each prefix of a sample is a sample
        levels, neighbours = [(points, features)], [sampled.neighbours, *[None] * (len(self.down) - 1)]
        for count, down, index in zip(self.centres, self.down, neighbours, strict=True):
            levels.append((centres[:, :count], down(centres[:, :count], *levels[-1], index)))
        seeds, seed_features = levels[-1]
        for (fine_points, fine), up in zip(levels[-2:1:-1], self.up, strict=True):
            seeds, seed_features = fine_points, up(fine_points, fine, seeds, seed_features)
        return sampled.centres[:, : self.centres[1]], seeds, seed_features
