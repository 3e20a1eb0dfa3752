"""The block that a recipe or a demonstration asks for."""

from __future__ import annotations

import torch

from perception.frozen.adapter import FrozenBlockAdapter, build_adapter
from perception.frozen.weights import WeightsError, load_blocks
from perception_tools.training.recipes import BlockRecipe

PRETRAINED, STAND_IN = "smollm2", "random:smollm2?seed=0"


def pretrained_or_stand_in() -> str:
    """URI of the pretrained block, or, said loudly, of a random one where the package index cannot be reached."""
    try:
        load_blocks(PRETRAINED)
    except WeightsError as error:
        print(f"\n!!! {error}\n!!! Going on with RANDOM weights of the same shape: it is no language block.\n")
        return STAND_IN
    return PRETRAINED


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
        training_only=block.training_only,
        seed=seed,
    )
