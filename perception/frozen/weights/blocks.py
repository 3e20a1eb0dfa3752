"""Loaded block weights and their fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.block import BlockConfig, LlamaBlock, OptBlock, RMSNorm

M = TypeVar("M", bound=nn.Module)


class WeightsError(InputError):
    """Weights that cannot be loaded from the given place, or do not fit."""


@dataclass(frozen=True, eq=False)
class LoadedBlocks:
    """The weights of one or more blocks of one model.

    Attributes:
        config: Shape of every block.
        states: State dict of each block, with the names of `perception.frozen.block`.
        layers: 0-based indices of the blocks in the model.
        source_layers: Number of blocks in the model.
        final_norm: State dict of the norm after the model's last block; empty if it has none (OPT-350M, random).
        source: URI that loads the same blocks.
        stored_dtype: Type of the stored weights, such as `float16`, or `F32, Q4_1` in a GGUF file.
        files: Files that were read.
        sliced_from: URI of the blocks in a sliced file; None for other files.
    """

    config: BlockConfig
    states: tuple[dict[str, Tensor], ...]
    layers: tuple[int, ...]
    source_layers: int
    final_norm: dict[str, Tensor]
    source: str
    stored_dtype: str
    files: tuple[Path, ...] = ()
    sliced_from: str | None = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape and float32 values, independent of where and in which type they were stored."""
        digest = hashlib.sha256(json.dumps(asdict(self.config), sort_keys=True).encode())
        for prefix, state in [*enumerate(self.states), ("final_norm", self.final_norm)]:
            for name in sorted(state):
                digest.update(f"{prefix}.{name}".encode())
                digest.update(state[name].to("cpu", torch.float32).contiguous().numpy())
        return digest.hexdigest()

    def to(self, dtype: torch.dtype | None) -> LoadedBlocks:
        """Converts the blocks to a floating-point type; None keeps the stored one."""
        if dtype is None:
            return self
        states = tuple({name: tensor.to(dtype) for name, tensor in state.items()} for state in self.states)
        return replace(self, states=states, final_norm={name: t.to(dtype) for name, t in self.final_norm.items()})

    def build(self) -> list[LlamaBlock | OptBlock]:
        """Builds modules that share these tensors."""
        return [_fill(_build_empty(self.config), state) for state in self.states]

    def build_final_norm(self) -> RMSNorm | nn.LayerNorm:
        """Builds the norm after the model's last block.

        Raises:
            WeightsError: The model has none.
        """
        if not self.final_norm:
            raise WeightsError(
                f"{self.source} has no final norm; expected one for post_norm='llm_final': use 'unit_rms'"
            )
        is_llama = self.config.architecture == "llama"
        norm = (RMSNorm if is_llama else nn.LayerNorm)(self.config.dim, self.config.eps)
        return _fill(norm, self.final_norm)

    def describe(self) -> dict[str, object]:
        """Returns everything except the weights, in types that JSON can store."""
        return {
            "source": self.source,
            **asdict(self.config),
            "layers": list(self.layers),
            "source_layers": self.source_layers,
            "parameters": sum(tensor.numel() for state in self.states for tensor in state.values()),
            "has_final_norm": bool(self.final_norm),
            "stored_dtype": self.stored_dtype,
            "files": [str(file) for file in self.files],
            "sliced_from": self.sliced_from,
            "fingerprint": self.fingerprint,
        }


def block_shapes(config: BlockConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every tensor in a block's state dict."""
    return {name: tuple(tensor.shape) for name, tensor in _build_empty(config).state_dict().items()}


def resolve_layers(layers: Sequence[int], count: int, source: str) -> tuple[int, ...]:
    """Converts negative block indices to indices from the front.

    Raises:
        WeightsError: The model does not have such a block.
    """
    for layer in layers:
        if not -count <= layer < count:
            raise WeightsError(f"{source} has no block {layer}: it has {count}, 0 to {count - 1} (or -{count} to -1)")
    return tuple(layer % count for layer in layers)


def _build_empty(config: BlockConfig) -> LlamaBlock | OptBlock:
    with torch.device("meta"):
        return config.build()


def _fill(module: M, state: Mapping[str, Tensor]) -> M:
    module.load_state_dict(state, strict=True, assign=True)
    return module
