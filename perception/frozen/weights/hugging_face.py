"""Reads LLaMA and OPT models in Hugging Face's layout, from a folder or from huggingface.co."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from perception.files import reading
from perception.frozen.block import BlockConfig, expect_size
from perception.frozen.weights.blocks import WeightsError
from perception.frozen.weights.checkpoint import Checkpoint, Naming, StoredTensor
from perception.frozen.weights.pickled import open_pickled

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Names of weight files, in the order in which transformers tries them, so that its cache can be used offline."""

LLAMA_BLOCK = {
    "attention_norm.weight": "input_layernorm.weight",
    "q.weight": "self_attn.q_proj.weight",
    "k.weight": "self_attn.k_proj.weight",
    "v.weight": "self_attn.v_proj.weight",
    "o.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "gate.weight": "mlp.gate_proj.weight",
    "up.weight": "mlp.up_proj.weight",
    "down.weight": "mlp.down_proj.weight",
}
OPT_PARTS = {
    "attention_norm": "self_attn_layer_norm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "ffn_norm": "final_layer_norm",
    "up": "fc1",
    "down": "fc2",
}
OPT_BLOCK = {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in OPT_PARTS.items() for kind in ("weight", "bias")}

DIFFERENCES = {
    "qwen2_moe": "its feed-forward part is a mixture of experts",
    "qwen3_moe": "its feed-forward part is a mixture of experts, and queries and keys are normalised in each head",
    "qwen2": "the query, key and value layers have biases",
    "qwen3": "queries and keys are normalised in each head, and the width of a head is independent of the block's",
    "gemma": "norms scale by 1 + weight, the feed-forward part uses GELU, embeddings are scaled by the root of the "
    "width, and the width of a head is independent of the block's; Gemma 2 and later also have norms after each part",
    "mixtral": "its feed-forward part is a mixture of experts",
    "phi3": "query, key and value, and gate and up, are stored as one matrix each",
}
"""Beginning of a `model_type` that is not supported → how its block differs; longer beginnings come first."""

Locate = Callable[[str], Path | None]
"""Returns the local path of a model's file, downloading it if needed; None if the model has no such file."""


def open_folder(folder: Path) -> Checkpoint:
    """Opens a model in a local folder."""
    return HuggingFaceCheckpoint(str(folder), lambda name: folder / name if (folder / name).is_file() else None)


class HuggingFaceCheckpoint(Checkpoint):
    """The checkpoint of a Hugging Face model; its files are located when the first tensor is read."""

    def __init__(self, source: str, locate: Locate) -> None:
        config, layers = _read_config(source, _read_json(source, "config.json", locate))
        super().__init__(source, config, layers)
        self._locate = locate
        self._open: dict[str, Any] = {}

    @property
    def names(self) -> Collection[str]:
        """Names of all stored tensors."""
        return self._file_of.keys()

    @cached_property
    def naming(self) -> Naming:
        """Names of a block's tensors; the prefix shows whether the file holds a causal model or only its decoder."""
        is_llama = self.config.architecture == "llama"
        stems = ("model.", "") if is_llama else ("model.decoder.", "decoder.", "")
        stem = next((s for s in stems if any(n.startswith(f"{s}layers.") for n in self.names)), stems[0])
        if is_llama:
            norm = {"weight": f"{stem}norm.weight"}
            return Naming(stem + "layers.{layer}.", LLAMA_BLOCK, norm, ignored=("rotary_emb.inv_freq",))
        norm = {kind: f"{stem}final_layer_norm.{kind}" for kind in ("weight", "bias")}
        return Naming(stem + "layers.{layer}.", OPT_BLOCK, norm)

    def read(self, name: str) -> StoredTensor:
        """Reads a tensor."""
        file, path = self._open_file(self._file_of[name])
        with reading(path, f"expected a readable tensor {name!r} here, as the index says", WeightsError):
            value: Tensor = file.get_tensor(name) if path.suffix == ".safetensors" else file[name]
        return StoredTensor(value, str(value.dtype).removeprefix("torch."), (path,))

    @cached_property
    def _file_of(self) -> dict[str, str]:
        """Maps tensor names to file names."""
        found = next((name for name in WEIGHT_FILES if self._locate(name)), None)
        if found is None:
            raise WeightsError(
                f"{self.source}: expected one of {', '.join(WEIGHT_FILES)} beside config.json, found none"
            )
        if found.endswith(".index.json"):
            index = _read_json(self.source, found, self._locate).get("weight_map")
            if not isinstance(index, dict) or any(file != Path(str(file)).name for file in index.values()):
                raise WeightsError(
                    f"{self.source}: expected a weight_map in {found}, from each tensor to a file in this folder, "
                    f"found {reprlib.repr(index)}; download it again"
                )
            return index
        return dict.fromkeys(self._open_file(found)[0].keys(), found)

    def _open_file(self, name: str) -> tuple[Any, Path]:
        """Opens and maps a file, once."""
        path = self._locate(name)
        if path is None:
            raise WeightsError(f"{self.source}: the index names {name!r}, but there is no such file; download it again")
        if name not in self._open:
            self._open[name] = _open_safetensors(path) if path.suffix == ".safetensors" else open_pickled(path)
        return self._open[name], path


def _open_safetensors(path: Path) -> Any:
    with reading(path, "if it was cut short, download it again", WeightsError):
        return safe_open(path, framework="pt")


def _read_json(source: str, name: str, locate: Locate) -> dict[str, Any]:
    path = locate(name)
    if path is None:
        raise WeightsError(f"{source}: expected {name} in a Hugging Face model, found none")
    with reading(path, "download it again", WeightsError):
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise WeightsError(f"{path}: expected a JSON object, found {type(values).__name__}; download it again")
        return values


def _read_config(source: str, config: dict[str, Any]) -> tuple[BlockConfig, int]:
    """Returns the block's shape and the number of blocks; refuses variants that would change the block's arithmetic."""
    kind = config.get("model_type")
    if kind not in ("llama", "mistral", "opt"):
        differs = next((words for family, words in DIFFERENCES.items() if str(kind).startswith(family)), None)
        raise WeightsError(
            f"{source}: expected a model of type llama, mistral or opt, config.json says {reprlib.repr(kind)}"
            + (f"; its block differs from LLaMA's: {differs}" if differs else "")
        )
    if "quantization_config" in config:
        raise WeightsError(
            f"{source}: its weights are quantised; expected plain ones: use the original model or a .gguf"
        )
    try:
        return _read_opt(source, config) if kind == "opt" else _read_llama(source, config)
    except KeyError as error:
        raise WeightsError(f"{source}: config.json lacks {error}, which a model of type {kind} has") from None


def _read_llama(source: str, config: dict[str, Any]) -> tuple[BlockConfig, int]:
    """Reads LLaMA's configuration, or Mistral's, whose block is the same.

    Mistral-7B-v0.1 attends to a sliding window of 4096 tokens. That is a matter of its mask, as causality is, and the
    block here attends to all valid tokens.
    """
    dim, heads = config["hidden_size"], config["num_attention_heads"]
    expect_size("hidden_size", dim)
    expect_size("num_attention_heads", heads)
    _require(source, config, "hidden_act", "silu")
    _require(source, config, "attention_bias", False)
    _require(source, config, "mlp_bias", False)
    _require(source, config, "head_dim", dim // heads)
    kv_heads = config.get("num_key_value_heads") or heads
    shape = BlockConfig("llama", dim, heads, kv_heads, config["intermediate_size"], config["rms_norm_eps"])
    return shape, config["num_hidden_layers"]


def _read_opt(source: str, config: dict[str, Any]) -> tuple[BlockConfig, int]:
    _require(source, config, "activation_function", "relu")
    _require(source, config, "enable_bias", True)
    _require(source, config, "layer_norm_elementwise_affine", True)
    heads, pre_norm = config["num_attention_heads"], config.get("do_layer_norm_before", True)
    # OPT keeps PyTorch's LayerNorm epsilon; its configuration has no field for it.
    shape = BlockConfig("opt", config["hidden_size"], heads, heads, config["ffn_dim"], 1e-5, pre_norm)
    return shape, config["num_hidden_layers"]


def _require(source: str, config: dict[str, Any], key: str, value: object) -> None:
    """Refuses another value of a key; if the key is absent, transformers' default is the required value."""
    found = config.get(key)
    if found is not None and found != value:
        raise WeightsError(
            f"{source}: unsupported variant of the block: expected {key}={value!r} in config.json, got {found!r}"
        )
