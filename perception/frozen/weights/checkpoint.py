"""Reads chosen blocks from the checkpoint of a whole model, in any format, and checks that they fit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from perception.frozen.block import BlockConfig, expect_size
from perception.frozen.weights.blocks import LoadedBlocks, WeightsError, block_shapes, resolve_layers
from perception.frozen.weights.memory import expect_memory

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Naming:
    """How a file format names the tensors of a block.

    Attributes:
        layer: Prefix of the names, with `{layer}` for the block's index.
        block: Our name → their name without the prefix.
        final_norm: Our name → their full name.
        ignored: Endings of names in a block that are not weights: tables of the rotary embedding.
    """

    layer: str
    block: Mapping[str, str]
    final_norm: Mapping[str, str]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as stored in a file.

    Attributes:
        value: The tensor; it may be mapped from the file.
        dtype: Name of the storage type.
        files: Files that hold it.
    """

    value: Tensor
    dtype: str
    files: tuple[Path, ...]


class Checkpoint(ABC):
    """An opened checkpoint of a whole model, whose tensors are read on demand."""

    def __init__(self, source: str, config: BlockConfig, layers: int) -> None:
        expect_size("number of blocks", layers)
        self.source = source
        self.config = config
        self.layers = layers

    @property
    @abstractmethod
    def names(self) -> Collection[str]:
        """Names of all stored tensors."""

    @property
    @abstractmethod
    def naming(self) -> Naming:
        """Names of a block's tensors in this format."""

    @abstractmethod
    def read(self, name: str) -> StoredTensor:
        """Reads a single tensor."""


def read_blocks(checkpoint: Checkpoint, layers: Sequence[int], dtype: torch.dtype | None) -> LoadedBlocks:
    """Reads the chosen blocks and the final norm, with a progress bar if it takes longer than half a second.

    Args:
        checkpoint: Checkpoint of the model.
        layers: Block indices, negative ones from the end.
        dtype: Type to convert to; None keeps the stored type (float32 for quantised weights).
    """
    chosen = resolve_layers(layers, checkpoint.layers, checkpoint.source)
    shapes = block_shapes(checkpoint.config)
    reader = _Reader(checkpoint, dtype)
    states = []
    total = len(chosen) * sum(math.prod(shape) for shape in shapes.values())
    expect_memory(total, dtype or torch.float32, checkpoint.source)
    with tqdm(total=total, unit=" weights", unit_scale=True, delay=0.5, leave=False, disable=None) as bar:
        for layer in chosen:
            bar.set_description(f"block {layer}", refresh=False)
            names = _block_names(checkpoint, layer)
            state = {}
            for ours, theirs in names.items():
                state[ours] = reader.read(theirs, shapes[ours])
                bar.update(state[ours].numel())
            states.append(state)
    norm_names = checkpoint.naming.final_norm
    present = all(name in checkpoint.names for name in norm_names.values())
    norm = {ours: reader.read(name, (checkpoint.config.dim,)) for ours, name in norm_names.items()} if present else {}
    return LoadedBlocks(
        checkpoint.config,
        tuple(states),
        chosen,
        checkpoint.layers,
        norm,
        source=f"{checkpoint.source}#{','.join(map(str, chosen))}",
        stored_dtype=", ".join(sorted(reader.dtypes)),
        files=tuple(sorted(reader.files)),
    )


def _block_names(checkpoint: Checkpoint, layer: int) -> dict[str, str]:
    """Returns our name → stored name for one block, which must hold exactly these tensors."""
    naming = checkpoint.naming
    prefix = naming.layer.format(layer=layer)
    names = {ours: prefix + theirs for ours, theirs in naming.block.items()}
    stored = {n for n in checkpoint.names if n.startswith(prefix) and not n.endswith(naming.ignored)}
    architecture = checkpoint.config.architecture
    for missing in sorted(set(names.values()) - stored):
        raise WeightsError(f"{checkpoint.source}: expected tensor {missing!r} of a {architecture} block, it is missing")
    for surplus in sorted(stored - set(names.values())):
        raise WeightsError(
            f"{checkpoint.source}: found tensor {surplus!r}, which a {architecture} block does not have; "
            "this model is of another architecture"
        )
    return names


@dataclass
class _Reader:
    """Reads and checks single tensors, and records their types and files."""

    checkpoint: Checkpoint
    dtype: torch.dtype | None
    dtypes: set[str] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)

    def read(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Reads a copy into memory, so that the file may change or be deleted later."""
        stored = self.checkpoint.read(name)
        where = f"{stored.files[0]}: tensor {name!r}"
        if tuple(stored.value.shape) != shape:
            raise WeightsError(
                f"{where} should have shape {shape} by the model's configuration, got {tuple(stored.value.shape)}"
            )
        if stored.value.dtype not in FLOATING:
            raise WeightsError(
                f"{where} is stored as {stored.dtype}; expected plain floating-point weights, not quantised ones"
            )
        value = stored.value.to(self.dtype or stored.value.dtype, copy=True, memory_format=torch.contiguous_format)
        if not value.isfinite().all():
            raise WeightsError(
                f"{where} has values that are not finite as {value.dtype}; load it as bfloat16 or float32"
            )
        self.dtypes.add(stored.dtype)
        self.files.update(stored.files)
        return value
