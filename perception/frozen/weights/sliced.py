"""Reads and writes sliced files: chosen blocks of a model with their configuration, source and fingerprint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from safetensors import safe_open

from perception.files import reading
from perception.frozen.block import BlockConfig
from perception.frozen.weights.blocks import LoadedBlocks, WeightsError, block_shapes
from perception.frozen.weights.writing import write_tensors

FORMAT = "perception-block"


def write_slice(blocks: LoadedBlocks, path: Path) -> None:
    """Writes blocks to a safetensors file; an interrupted write leaves no file under the final name."""
    tensors = {f"final_norm.{name}": tensor for name, tensor in blocks.final_norm.items()}
    for layer, state in zip(blocks.layers, blocks.states, strict=True):
        tensors |= {f"{layer}.{name}": tensor for name, tensor in state.items()}
    metadata = {
        "format": FORMAT,
        "config": json.dumps(asdict(blocks.config)),
        "layers": json.dumps(blocks.layers),
        "source_layers": str(blocks.source_layers),
        "source": blocks.sliced_from or blocks.source,
        "fingerprint": blocks.fingerprint,
    }
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: expected a name that ends in .safetensors, by which such a file is recognised")
    write_tensors(path, tensors, metadata)


def read_slice(path: Path, layers: Sequence[int] | None) -> LoadedBlocks:
    """Reads all blocks of a sliced file, or those with the given indices in the model.

    Raises:
        WeightsError: It is not a sliced file, is damaged, was changed after it was written, or lacks a layer.
    """
    with reading(path, "cut it again with `perception block slice`", WeightsError):
        with safe_open(path, framework="pt") as file:
            metadata = _check_format(path, file.metadata())
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
        config = BlockConfig(**json.loads(metadata["config"]))
        stored: list[int] = json.loads(metadata["layers"])
        states = tuple({name: tensors[f"{layer}.{name}"] for name in block_shapes(config)} for layer in stored)
        norm = {n.removeprefix("final_norm."): tensor for n, tensor in tensors.items() if n.startswith("final_norm.")}
        blocks = LoadedBlocks(
            config,
            states,
            tuple(stored),
            int(metadata["source_layers"]),
            norm,
            source=f"{path}#{','.join(map(str, stored))}",
            stored_dtype=", ".join(sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()})),
            files=(path,),
            sliced_from=metadata["source"],
        )
        fingerprint = metadata["fingerprint"]
    if blocks.fingerprint != fingerprint:
        raise WeightsError(
            f"{path}: its weights have changed since it was written: expected fingerprint {fingerprint}, "
            f"got {blocks.fingerprint}; delete it and cut or fetch it again"
        )
    return _choose(blocks, layers)


def _check_format(path: Path, metadata: dict[str, str] | None) -> dict[str, str]:
    if (metadata or {}).get("format") != FORMAT:
        raise WeightsError(
            f"{path}: expected a file that `perception block slice` wrote; for a file of a whole model give the folder "
            "that holds it and its config.json"
        )
    return metadata or {}


def _choose(blocks: LoadedBlocks, layers: Sequence[int] | None) -> LoadedBlocks:
    """Selects blocks by their indices in the whole model."""
    if layers is None:
        return blocks
    chosen = tuple(layer + blocks.source_layers if layer < 0 else layer for layer in layers)
    for layer in chosen:
        if layer not in blocks.layers:
            raise WeightsError(f"{blocks.files[0]} has no block {layer}: it holds {list(blocks.layers)} of its model")
    states = tuple(blocks.states[blocks.layers.index(layer)] for layer in chosen)
    source = f"{blocks.files[0]}#{','.join(map(str, chosen))}"
    return replace(blocks, states=states, layers=chosen, source=source)
