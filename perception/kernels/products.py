"""The product that nearly all of a block's time goes into: a few rows with a large weight."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from perception.kernels.linear import frozen_linear, suits_frozen

FEW_ROWS = 1024
"""Up to here a product is taken from the left."""


def rows_times(
    x: Float[Tensor, "*rows in_dim"],
    weight: Float[Tensor, "out_dim in_dim"],
    bias: Float[Tensor, " out_dim"] | None = None,
) -> Float[Tensor, "*rows out_dim"]:
    """`x·weightᵀ + bias` by the fastest kernel for frozen weights, elsewhere for few rows as `(weight·xᵀ)ᵀ`.

    It is the same product. But the usual way round, which `nn.Linear` takes, float32 kernels take 1.2 to 1.6 times as
    long for 16 to 300 rows, and up to three times for fewer, measured with MKL on Zen 3 and the weights of LLaMA-7B;
    from a thousand rows on there is no difference. Rows that lie in memory one behind the other keep the backward pass
    the product of the gradient's rows with the weight, which is fast too.
    """
    rows = x.flatten(0, -2)
    if suits_frozen(x, weight):
        out = frozen_linear(x, weight)
    elif example_of(rows.shape[0]) > FEW_ROWS:
        out = x @ weight.mT
    else:
        out = (weight @ rows.contiguous().mT).mT.unflatten(0, x.shape[:-1])
    return out if bias is None else out + bias


def example_of(size: int) -> int:
    """A size, or where `torch.export` leaves it open, that of the example: it decides the way, not the values."""
    return size.node.hint if isinstance(size, torch.SymInt) and not torch.compiler.is_dynamo_compiling() else size
