"""Seeded random blocks: the paper's random control (§B.2), and full-size blocks without a checkpoint."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from perception.errors import InputError
from perception.frozen.block import BlockConfig
from perception.frozen.weights.blocks import LoadedBlocks, WeightsError, block_shapes
from perception.frozen.weights.memory import expect_memory

LLAMA_7B = BlockConfig("llama", 4096, 32, 32, 11008, 1e-6)
MAX_WEIGHTS = 2**30
"""A few lines in a model's file can ask for random blocks of any size. LLaMA-70B's have 0.86 billion weights."""
GRAMMAR = "random:DIMxFFNxHEADS[xKV_HEADS][?seed=S], random:llama-7b[?seed=S] or random:PLACE[?seed=S]"


def parse_random(place: str) -> tuple[str, int]:
    """Returns the shape and the seed (default 0) of a `random:` place.

    Raises:
        WeightsError: It does not follow the grammar.
    """
    match = re.fullmatch(r"random:(?P<shape>[^?]+)(\?seed=(?P<seed>\d+))?", place)
    if match is None:
        raise WeightsError(f"{place}: expected {GRAMMAR}")
    return match["shape"], int(match["seed"] or 0)


def parse_shape(shape: str) -> BlockConfig | None:
    """Parses a shape given by numbers or as `llama-7b`; None if it refers to the blocks at another place.

    Raises:
        WeightsError: The shape is malformed.
    """
    if shape == "llama-7b":
        return LLAMA_7B
    if not re.fullmatch(r"[\dx]+", shape):
        return None
    sizes = re.fullmatch(r"(\d+)x(\d+)x(\d+)(?:x(\d+))?", shape)
    if sizes is None:
        raise WeightsError(f"random:{shape}: expected {GRAMMAR}")
    dim, ffn_dim, heads = (int(size) for size in sizes.groups()[:3])
    try:
        return BlockConfig("llama", dim, heads, int(sizes[4] or heads), ffn_dim, LLAMA_7B.eps)
    except InputError as error:
        raise WeightsError(f"random:{shape}: {error}") from error


def random_blocks(config: BlockConfig, layers: Sequence[int], seed: int, source: str) -> LoadedBlocks:
    """Draws blocks as a language model is initialised: matrices N(0, 0.02²), gains 1, biases 0.

    Args:
        config: Shape of the blocks.
        layers: Indices of the blocks in a model; the values of a block depend only on seed and index.
        seed: Seed of the model.
        source: URI stored with the blocks.
    """
    if any(layer < 0 for layer in layers):
        raise WeightsError(f"{source}: random blocks have no end to count from; expected layers of 0 or more")
    weights = len(layers) * sum(math.prod(shape) for shape in block_shapes(config).values())
    if weights > MAX_WEIGHTS:
        raise WeightsError(
            f"{source}: expected at most {MAX_WEIGHTS / 1e9:.1f} billion random weights, got {weights / 1e9:.1f}; "
            "name fewer blocks or a smaller shape"
        )
    expect_memory(weights, torch.float32, source)
    states = tuple(_draw(config, seed, layer) for layer in layers)
    return LoadedBlocks(config, states, tuple(layers), max(layers) + 1, {}, source, stored_dtype="float32")


def _draw(config: BlockConfig, seed: int, layer: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, layer]).generate_state(1)[0]))
    state = {}
    for name, shape in block_shapes(config).items():
        if len(shape) > 1:
            state[name] = torch.empty(shape).normal_(0.0, 0.02, generator=generator)
        else:
            state[name] = torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
    return state
