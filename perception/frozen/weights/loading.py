"""Loads blocks by their URI."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from perception.files import reading
from perception.frozen.block import BlockConfig
from perception.frozen.weights import smollm2
from perception.frozen.weights.blocks import LoadedBlocks, WeightsError, resolve_layers
from perception.frozen.weights.checkpoint import Checkpoint, read_blocks
from perception.frozen.weights.gguf import GgufCheckpoint
from perception.frozen.weights.hub import open_hub
from perception.frozen.weights.hugging_face import open_folder
from perception.frozen.weights.meta import MetaCheckpoint
from perception.frozen.weights.provenance import provenance
from perception.frozen.weights.seeded import parse_random, parse_shape, random_blocks
from perception.frozen.weights.sliced import read_slice

LAST = (-1,)


def load_blocks(uri: str, dtype: torch.dtype | None = torch.float32) -> LoadedBlocks:
    """Loads the blocks that a URI names; `perception.frozen.weights` gives the grammar.

    Args:
        uri: `PLACE[#LAYERS]`.
        dtype: Type of the tensors in memory; None keeps the stored one.

    Raises:
        WeightsError: The blocks cannot be loaded.
    """
    address = _parse(uri)
    layers = address.layers or LAST
    if address.is_random:
        config, chosen = read_config(uri)
        seed = parse_random(address.place)[1]
        source = f"{address.place}#{','.join(map(str, chosen))}"
        return random_blocks(config, chosen, seed, source).to(dtype)
    if address.place == smollm2.NAME:
        return smollm2.read_smollm2(layers).to(dtype)
    if address.is_slice:
        return read_slice(Path(address.place), address.layers).to(dtype)
    return read_blocks(_open(address.place), layers, dtype)


def read_config(uri: str) -> tuple[BlockConfig, tuple[int, ...]]:
    """Returns the shape and the 0-based indices of the blocks that a URI names; reads weights only of sliced files."""
    address = _parse(uri)
    layers = address.layers or LAST
    if address.is_random:
        shape = parse_random(address.place)[0]
        config = parse_shape(shape)
        return (config, address.layers or (0,)) if config else read_config(shape + address.fragment)
    if address.place == smollm2.NAME:
        return smollm2.CONFIG, resolve_layers(layers, smollm2.LAYERS, uri)
    if address.is_slice:
        blocks = load_blocks(uri, dtype=None)
        return blocks.config, blocks.layers
    checkpoint = _open(address.place)
    return checkpoint.config, resolve_layers(layers, checkpoint.layers, address.place)


def random_like(uri: str, seed: int) -> str:
    """Returns the URI of random blocks with the shape of those that a URI names."""
    address = _parse(uri)
    shape = parse_random(address.place)[0] if address.is_random else address.place
    return f"random:{shape}?seed={seed}{address.fragment}"


def inspect(uri: str) -> dict[str, object]:
    """Describes the blocks that a URI names, in types that JSON can store; reads them to compute the fingerprint."""
    blocks = load_blocks(uri, dtype=None)
    return {"provenance": provenance(blocks.sliced_from or blocks.source), **blocks.describe()}


@dataclass(frozen=True)
class _Address:
    """A parsed URI; `layers` is None if it names none."""

    place: str
    layers: tuple[int, ...] | None

    @property
    def is_random(self) -> bool:
        return self.place.startswith("random:")

    @property
    def fragment(self) -> str:
        return "" if self.layers is None else f"#{','.join(map(str, self.layers))}"

    @property
    def is_slice(self) -> bool:
        return self.place.endswith(".safetensors") and Path(self.place).is_file()


def _parse(uri: str) -> _Address:
    place, mark, layers = uri.partition("#")
    if mark and not re.fullmatch(r"-?\d+(,-?\d+)*", layers):
        raise WeightsError(f"{uri}: expected block indices after '#', such as #-1 or #30,31, got {layers!r}")
    home = str(Path(place).expanduser()) if place.startswith("~") else place
    return _Address(home, tuple(int(layer) for layer in layers.split(",")) if mark else None)


def _open(place: str) -> Checkpoint:
    """Opens the checkpoint of a whole model; errors name its place."""
    with reading(Path(place), "expected the configuration of a supported model; download it again", WeightsError):
        return _recognise(place)


def _recognise(place: str) -> Checkpoint:
    """Opens the checkpoint of a whole model in the format found at its place."""
    path = Path(place)
    if path.is_dir():
        if (path / "config.json").is_file():
            return open_folder(path)
        if (path / "params.json").is_file():
            return MetaCheckpoint(path)
        raise WeightsError(
            f"{place}: expected config.json (Hugging Face) or params.json (Meta) in this folder, found neither"
        )
    if path.is_file():
        if path.suffix == ".gguf":
            return GgufCheckpoint(path)
        raise WeightsError(f"{place}: expected a .gguf or sliced .safetensors file, or the folder of a model")
    has_file_suffix = path.suffix in (".gguf", ".safetensors", ".pth", ".bin")
    if not has_file_suffix and re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", place):
        return open_hub(place)
    raise WeightsError(
        f"{place}: no such file or folder; expected a path, org/name (huggingface.co), smollm2 or random:…"
    )
