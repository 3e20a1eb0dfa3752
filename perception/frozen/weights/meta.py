"""Reads Meta's release of LLaMA: params.json and the shards consolidated.*.pth."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perception.files import reading
from perception.frozen.block import BlockConfig, expect_size
from perception.frozen.weights.blocks import WeightsError
from perception.frozen.weights.checkpoint import Checkpoint, Naming, StoredTensor
from perception.frozen.weights.pickled import open_pickled

NAMING = Naming(
    layer="layers.{layer}.",
    block={
        "attention_norm.weight": "attention_norm.weight",
        "q.weight": "attention.wq.weight",
        "k.weight": "attention.wk.weight",
        "v.weight": "attention.wv.weight",
        "o.weight": "attention.wo.weight",
        "ffn_norm.weight": "ffn_norm.weight",
        "gate.weight": "feed_forward.w1.weight",
        "up.weight": "feed_forward.w3.weight",
        "down.weight": "feed_forward.w2.weight",
    },
    final_norm={"weight": "norm.weight"},
    ignored=("rope.freqs",),
)
SPLIT_BY_INPUT = ("attention.wo.weight", "feed_forward.w2.weight")
"""Tensor-parallel shards split these along columns and the other matrices along rows; norms are replicated."""


class MetaCheckpoint(Checkpoint):
    """The checkpoint in a folder of Meta's release."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.glob("consolidated.*.pth"))
        if not self._paths:
            raise WeightsError(f"{folder}: expected consolidated.00.pth beside params.json, found none")
        super().__init__(str(folder), *_read_params(folder / "params.json"))

    @property
    def naming(self) -> Naming:
        """Names of a block's tensors in Meta's files."""
        return NAMING

    @property
    def names(self) -> Collection[str]:
        """Names of all stored tensors."""
        return self._shards[0].keys()

    def read(self, name: str) -> StoredTensor:
        """Reads a tensor and concatenates its shards."""
        try:
            parts = [shard[name] for shard in self._shards]
        except KeyError:
            raise WeightsError(
                f"{self.source}: tensor {name!r} is not in every shard; they are of different models"
            ) from None
        value = parts[0]
        if len(parts) > 1 and value.dim() > 1:
            with reading(
                Path(self.source), f"its shards of {name!r} do not fit together; download it again", WeightsError
            ):
                value = torch.cat(parts, dim=1 if name.endswith(SPLIT_BY_INPUT) else 0)
        return StoredTensor(value, str(value.dtype).removeprefix("torch."), tuple(self._paths))

    @cached_property
    def _shards(self) -> list[dict[str, Tensor]]:
        return [open_pickled(path) for path in self._paths]


def _read_params(path: Path) -> tuple[BlockConfig, int]:
    with reading(path, "expected the parameters of a LLaMA model; download it again", WeightsError):
        params: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        dim, heads, layers, eps = (params[key] for key in ("dim", "n_heads", "n_layers", "norm_eps"))
        expect_size("dim", dim)
        expect_size("multiple_of", params["multiple_of"])
        ffn_dim = _ffn_dim(dim, params["multiple_of"], params.get("ffn_dim_multiplier"))
        return BlockConfig("llama", dim, heads, params.get("n_kv_heads") or heads, ffn_dim, eps), layers


def _ffn_dim(dim: int, multiple_of: int, multiplier: float | None) -> int:
    """Returns LLaMA's feed-forward width for SwiGLU: two thirds of 4·dim, scaled, then rounded up."""
    width = int(2 * (4 * dim) / 3)
    if multiplier is not None:
        width = int(multiplier * width)
    return -(-width // multiple_of) * multiple_of
