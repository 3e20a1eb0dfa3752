"""Whether records teach an encoder the same: coherence of their gradients.

Another explanation of what a frozen block does: gradients that reach the encoder through it agree more from record to
record (Bai et al., Frozen Language Models Are Gradient Coherence Rectifiers in Vision Transformers, AAAI 2025).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class GradientCoherence:
    """How much the gradients of several records agree.

    Attributes:
        cosine: Mean cosine of the angle between the gradients of two different records. A gradient of zero has no
            direction: its cosines count as 0.
        product: Mean inner product of two different records' gradients over the mean square of a gradient's norm: 1
            where all are equal, 0 where they are independent. Records with large gradients count more than in `cosine`.
        records: Number of records.
    """

    cosine: float
    product: float
    records: int


def gradient_coherence(gradients: Iterable[Float[Tensor, " parameters"]]) -> GradientCoherence:
    """Returns the coherence of at least two gradients, which are read once; memory is that of two, in float64.

    The sum over pairs is what the square of the sum has beside the squares: Σ_{i≠j} g_i·g_j = |Σ g_i|² − Σ |g_i|².
    """
    total: Tensor | None = None
    directions: Tensor | None = None
    squares, directed, count = 0.0, 0, 0
    for gradient in gradients:
        wide = gradient.detach().double()
        square = float(wide.square().sum())
        if total is None or directions is None:
            total, directions = torch.zeros_like(wide), torch.zeros_like(wide)
        total += wide
        squares += square
        count += 1
        if square > 0:
            directions += wide / square**0.5
            directed += 1
    if total is None or directions is None or count < 2:
        raise ValueError(f"gradient_coherence: expected two gradients or more, got {count}")
    pairs = count * (count - 1)
    cosine = (float(directions.square().sum()) - directed) / pairs
    product = (float(total.square().sum()) - squares) / pairs
    return GradientCoherence(cosine, product / (squares / count) if squares else 0.0, count)


def flat_gradient(loss: Float[Tensor, ""], parameters: Sequence[Tensor]) -> Float[Tensor, " parameters"]:
    """Returns the gradient of a loss with respect to all parameters, side by side; 0 for those that it does not use."""
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found])
