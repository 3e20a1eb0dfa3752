"""Models whose block can be taken out and replaced: what folding, serving and exporting a model needs of it."""

from __future__ import annotations

import copy
from typing import Protocol, TypeVar

from torch import nn

from perception.errors import InputError
from perception.frozen.folded import can_fold, fold
from perception.kernels.linear import for_inference
from perception.kernels.precision import Precision

Model = TypeVar("Model", bound=nn.Module)


class WithBlock(Protocol):
    """A model around a block; every model of `perception.models` is one.

    Attributes:
        block: The frozen block between its two projections, one of its controls, or what stands in for it in service;
            None in a model that has no tokens to send through one.
    """

    block: nn.Module | None

    def with_block(self: Model, block: nn.Module) -> Model:
        """The model with another block; all other weights are shared."""
        ...

    def folded(self: Model, precision: Precision = "float32") -> Model:
        """The model for serving: its block in deployment form, and inference kernels."""
        ...


def exchange_block(model: Model, block: nn.Module) -> Model:
    """A shallow copy of a model with another module as its `block`."""
    made = copy.copy(model)
    made._modules = {**model._modules, "block": block}
    return made


def fold_block(model: Model, precision: Precision) -> Model:
    """A model for serving: its block in deployment form (`perception.frozen.folded`), and inference kernels.

    A model without a language block, or around several, has nothing to fold: it gets the kernels alone.

    Args:
        model: Its `block` is an adapter, or None.
        precision: Data type of the block's weights; all but `float32` change the answers a little.

    Raises:
        InputError: A narrower precision is asked for where there is not one language block.
    """
    served = for_inference(model).eval()
    block = model.block
    if can_fold(block):
        return exchange_block(served, fold(block, precision)).eval()
    if precision == "float32":
        return served
    raise InputError(
        f"precision {precision}: it is about the weights of one language block, which this model does not have; "
        "leave the precision out"
    )
