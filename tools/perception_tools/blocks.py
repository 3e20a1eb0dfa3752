"""The block that a recipe asks for."""

from __future__ import annotations

import torch

from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception_tools.training.recipes import BlockRecipe


def build_block(dim: int, block: BlockRecipe, seed: int) -> FrozenBlockAdapter:
    """The block of a recipe behind tokens of this width; its projections draw from PyTorch's global generator."""
    return build_adapter(
        dim,
        kind=block.kind,
        source=block.source,
        frozen=block.frozen,
        dtype=getattr(torch, block.dtype),
        post_norm=block.post_norm,
        bias=block.bias,
        init=block.init,
        matched=block.matched,
        residual=block.residual,
        seed=seed,
    )
