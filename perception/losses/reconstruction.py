"""Training losses of models that reconstruct their input."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def chamfer_distance(
    predicted: Float[Tensor, "sets points 3"], true: Float[Tensor, "sets other_points 3"]
) -> Float[Tensor, " sets"]:
    """Returns, for each pair of sets, the mean squared distance to the nearest point of the other, both ways summed.

    This is Chamfer-L2 of Point-MAE (https://arxiv.org/abs/2203.06604). All distances are in memory at once, so that it
    is for groups of some tens of points.
    """
    squared = (predicted.unsqueeze(2) - true.unsqueeze(1)).square().sum(-1)
    return squared.amin(2).mean(1) + squared.amin(1).mean(1)
