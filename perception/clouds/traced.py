"""Point operations in the form that a graph of another runtime can hold, see `torch.compiler.is_exporting`.

`perception.clouds.grouping` looks only at the points that matter, and how many these are depends on the points. Here
every step has sizes that follow from those of the inputs. Both give the same values, ties included.
"""

from __future__ import annotations

from typing import no_type_check

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def farthest_points_traced(
    points: Float[Tensor, "batch points 3"],
    count: int,
    eligible: Bool[Tensor, "batch points"],
    first: Int[Tensor, " batch"],
) -> Int[Tensor, "batch {count}"]:
    """`farthest_points_step_by_step` as one operator with a body, ONNX's Scan, instead of `count` copies of a step.

    The body reads nothing from around it, and its number of steps is the length of something that it reads: OpenVINO
    takes other forms wrongly or not at all.
    """
    from torch._higher_order_ops import scan

    @no_type_check  # checks of shapes, which run in tests, cannot be traced inside such an operator
    def step(carry: tuple[Tensor, Tensor, Tensor], zero: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        points, nearest, last = carry
        x, y, z = (points - points.gather(1, last.expand(-1, -1, 3))).square().unbind(-1)
        nearest = torch.minimum(nearest, x + y + z)
        farthest = nearest.argmax(1, keepdim=True).unsqueeze(-1) + zero
        return (points.clone(), nearest, farthest), farthest.clone()

    if count == 1:
        return first.unsqueeze(1)
    nearest = torch.where(eligible, torch.inf, -1.0).to(points.dtype)
    steps = torch.zeros(count - 1, dtype=torch.long, device=points.device)
    _, chosen = scan(step, (points, nearest, first[:, None, None]), steps)
    chosen = torch.cat([first.unsqueeze(1), chosen[:, :, 0, 0].T], dim=1)
    return torch.where(eligible.any(1, keepdim=True), chosen, first.unsqueeze(1))


def ball_query_traced(
    squared: Float[Tensor, "batch centres points"], radius: float, count: int
) -> Int[Tensor, "batch centres {count}"]:
    """`ball_query` from all squared distances, infinite for padding.

    Args:
        squared: Squared distance of each centre and each point.
        radius: Radius of the balls.
        count: Number of points per ball; there are at least as many points.
    """
    points = squared.shape[2]
    index = torch.arange(points, device=squared.device)
    inside = torch.where(squared < squared.new_tensor(radius) ** 2, index, points)
    found = inside.topk(count, dim=-1, largest=False).values
    first = torch.where(found[..., :1] < points, found[..., :1], 0)
    return torch.where(found < points, found, first)


def nearest_traced(
    squared: Float[Tensor, "batch queries points"], count: int
) -> tuple[Float[Tensor, "batch queries count"], Int[Tensor, "batch queries count"]]:
    """Squared distances and indices of the nearest points; of equal distances ONNX's TopK takes the lower index."""
    return squared.topk(torch.sym_min(count, squared.shape[-1]), dim=-1, largest=False)
