"""Reading chosen blocks out of a whole model's files, whatever their format, and refusing what does not fit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from perception.frozen.block import BlockConfig
from perception.frozen.weights.blocks import LoadedBlocks, WeightsError, block_shapes, resolve_layers

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Naming:
    """How a file format names the tensors of a block.

    Attributes:
        layer: What their names start with, `{layer}` standing for the block's index.
        block: Our name → the rest of theirs.
        final_norm: Our name → their full name.
        ignored: Endings of names inside a block that carry no weights: tables of the rotary embedding.
    """

    layer: str
    block: Mapping[str, str]
    final_norm: Mapping[str, str]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as a file holds it.

    Attributes:
        value: Possibly mapped from the file, not yet in memory.
        dtype: The storage type's name.
        files: Where it was found.
    """

    value: Tensor
    dtype: str
    files: tuple[Path, ...]


class Checkpoint(ABC):
    """A whole model's weights: opened, not read."""

    def __init__(self, source: str, config: BlockConfig, layers: int) -> None:
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
        """How this file names them."""

    @abstractmethod
    def read(self, name: str) -> StoredTensor:
        """One tensor; no other is touched."""


def read_blocks(checkpoint: Checkpoint, layers: Sequence[int], dtype: torch.dtype | None) -> LoadedBlocks:
    """The chosen blocks and the final norm; a progress bar shows when it takes longer than half a second.

    Args:
        checkpoint: Where to read.
        layers: Block indices, negative ones from the end.
        dtype: What to convert to; None keeps what is stored (float32 where that is quantised).
    """
    chosen = resolve_layers(layers, checkpoint.layers, checkpoint.source)
    shapes = block_shapes(checkpoint.config)
    reader = _Reader(checkpoint, dtype)
    states = []
    total = len(chosen) * sum(math.prod(shape) for shape in shapes.values())
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
    """Our name → stored name for one block, which must hold these tensors and no others."""
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
    """Reads single tensors, checks them, and remembers what they were and where they lay."""

    checkpoint: Checkpoint
    dtype: torch.dtype | None
    dtypes: set[str] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)

    def read(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A copy in memory, so that the file may change or go away later."""
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
                f"{where} has values that are not finite as {value.dtype}; bfloat16 or float32 hold wider ones"
            )
        self.dtypes.add(stored.dtype)
        self.files.update(stored.files)
        return value
