"""Damaged files that a robot loads: blocks, models, recordings, messages, clouds and maps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from gguf import GGUFWriter
from safetensors.torch import save_file
from torch import Tensor

from perception.frozen.folded_file import load_folded
from perception.frozen.weights import load_blocks, write_slice
from perception.frozen.weights.gguf import NAMING as GGUF_NAMING
from perception.frozen.weights.hugging_face import LLAMA_BLOCK
from perception.frozen.weights.meta import NAMING as META_NAMING

Fuzz = Callable[..., None]

SHAPE = "random:16x24x4x2"
LAYERS = 2


def _named(names: Mapping[str, str], layer: str) -> dict[str, Tensor]:
    """The blocks of a small model, and its final norm, under the names of a format."""
    tensors = {}
    for index, state in enumerate(load_blocks(f"{SHAPE}#0,1").states):
        tensors |= {layer.format(layer=index) + names[name]: value for name, value in state.items()}
    return tensors


def _read_block(folder: Path) -> None:
    load_blocks(f"{folder}#0,1")


def test_a_hugging_face_folder(fuzz: Fuzz, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    config = {
        "model_type": "llama",
        "hidden_size": 16,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
        "num_hidden_layers": LAYERS,
        "rms_norm_eps": 1e-5,
    }
    (folder / "config.json").write_text(json.dumps(config))
    tensors = _named(LLAMA_BLOCK, "model.layers.{layer}.")
    first = {name: value for name, value in tensors.items() if ".0." in name}
    second = {name: value for name, value in tensors.items() if name not in first}
    index = {}
    for number, part in enumerate((first, second)):
        save_file(part, folder / f"model-{number}.safetensors")
        index |= dict.fromkeys(part, f"model-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    fuzz(_read_block, folder)


def test_a_folder_of_metas(fuzz: Fuzz, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    params = {"dim": 16, "n_heads": 4, "n_kv_heads": 2, "n_layers": LAYERS, "norm_eps": 1e-5, "multiple_of": 8}
    (folder / "params.json").write_text(json.dumps(params | {"ffn_dim_multiplier": 0.5}))
    torch.save(_named(META_NAMING.block, META_NAMING.layer), folder / "consolidated.00.pth")
    fuzz(_read_block, folder)


def _read_gguf(folder: Path) -> None:
    load_blocks(f"{folder / 'model.gguf'}#0,1")


def test_a_gguf_file(fuzz: Fuzz, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    writer = GGUFWriter(folder / "model.gguf", "llama")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(24)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list([f"t{number}" for number in range(20)])
    for name, value in _named(GGUF_NAMING.block, GGUF_NAMING.layer).items():
        writer.add_tensor(name, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fuzz(_read_gguf, folder)


def _read_slice(folder: Path) -> None:
    load_blocks(str(folder / "block.safetensors"))


def test_a_sliced_block(fuzz: Fuzz, tmp_path: Path) -> None:
    write_slice(load_blocks(f"{SHAPE}#0,1"), tmp_path / "slice" / "block.safetensors")
    fuzz(_read_slice, tmp_path / "slice")


def _read_folded(folder: Path) -> None:
    load_folded(folder / "pipeline.safetensors")


def test_a_folded_block(fuzz: Fuzz, tmp_path: Path) -> None:
    from perception.frozen.adapter import build_adapter
    from perception.frozen.folded import fold
    from perception.frozen.folded_file import save_folded

    save_folded(fold(build_adapter(8, source=SHAPE), "int8"), tmp_path / "folded", "pipeline")
    fuzz(_read_folded, tmp_path / "folded")
