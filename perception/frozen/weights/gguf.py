"""Reads LLaMA models from llama.cpp's GGUF files, dequantising tensor by tensor.

llama.cpp permutes the rows of q and k in each head for its form of rotary embedding. Both get the same permutation, so
without rotary embedding QKᵀ, and hence the block, is unchanged.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize

from perception.files import reading
from perception.frozen.block import BlockConfig
from perception.frozen.weights.blocks import WeightsError
from perception.frozen.weights.checkpoint import Checkpoint, Naming, StoredTensor

NAMING = Naming(
    layer="blk.{layer}.",
    block={
        "attention_norm.weight": "attn_norm.weight",
        "q.weight": "attn_q.weight",
        "k.weight": "attn_k.weight",
        "v.weight": "attn_v.weight",
        "o.weight": "attn_output.weight",
        "ffn_norm.weight": "ffn_norm.weight",
        "gate.weight": "ffn_gate.weight",
        "up.weight": "ffn_up.weight",
        "down.weight": "ffn_down.weight",
    },
    final_norm={"weight": "output_norm.weight"},
    ignored=("attn_rot_embd.weight", "rope_freqs.weight"),
)


MAX_PARTS = 4_000_000
"""Maximum number of strings and numbers in the metadata, each a Python object; vocabularies of 256,000 words and their
merges have 2 million."""
_CURE = "if it was cut short, download it again"


class GgufCheckpoint(Checkpoint):
    """The checkpoint in a GGUF file."""

    def __init__(self, path: Path) -> None:
        with reading(path, _CURE, WeightsError):
            reader = _BoundedReader(path)
            super().__init__(str(path), *_read_config(path, reader))
        self._path = path
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}

    @property
    def naming(self) -> Naming:
        """Names of a block's tensors in GGUF files."""
        return NAMING

    @property
    def names(self) -> Collection[str]:
        """Names of all stored tensors."""
        return self._tensors.keys()

    def read(self, name: str) -> StoredTensor:
        """Reads and dequantises a tensor."""
        tensor = self._tensors[name]
        cure = f"the gguf package cannot decode {name!r}, which is {tensor.tensor_type.name}"
        with reading(self._path, cure, WeightsError):
            values = dequantize(tensor.data, tensor.tensor_type)
        return StoredTensor(torch.from_numpy(np.array(values, np.float32)), tensor.tensor_type.name, (self._path,))


class _BoundedReader(GGUFReader):
    """The reader of a file that may be cut short or malicious.

    The package's own returns less than it is asked for at the end of the file, so that a list of 2**60 entries in a
    small file fills the memory with empty ones.
    """

    def __init__(self, path: Path) -> None:
        self._parts_left = MAX_PARTS
        super().__init__(path)

    def _get(self, offset: int, dtype: Any, count: Any = 1, override_order: Any = None) -> Any:
        self._parts_left -= 1
        if offset + int(count) * np.dtype(dtype).itemsize > len(self.data):
            raise ValueError(f"it ends before the {count} numbers that it announces at byte {offset}")
        if self._parts_left < 0:
            raise ValueError(f"its metadata has more than {MAX_PARTS} entries")
        return super()._get(offset, dtype, count, override_order)


def _read_config(path: Path, reader: GGUFReader) -> tuple[BlockConfig, int]:
    def field(key: str, default: Any = None) -> Any:
        found = reader.get_field(key)
        if found is None and default is None:
            raise WeightsError(f"{path}: expected the metadata of a LLaMA model, {key!r} is missing")
        return default if found is None else found.contents()

    architecture = field("general.architecture")
    if architecture != "llama":
        raise WeightsError(f"{path}: expected a model of architecture llama, got {architecture!r}")
    dim, heads = field("llama.embedding_length"), field("llama.attention.head_count")
    head_dim = field("llama.attention.key_length", dim // heads)
    if head_dim != dim // heads:
        raise WeightsError(f"{path}: expected heads of width {dim // heads} (width / heads), got {head_dim}")
    # Stored as float32; its shortest decimal is the value that the model was trained with.
    eps = float(str(np.float32(field("llama.attention.layer_norm_rms_epsilon"))))
    kv_heads = field("llama.attention.head_count_kv", heads)
    return BlockConfig("llama", dim, heads, kv_heads, field("llama.feed_forward_length"), eps), field(
        "llama.block_count"
    )
