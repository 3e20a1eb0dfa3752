"""Small models, written by transformers, by the gguf package, and in the layout of Meta's release."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

META_NAMES = {
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.down_proj": "ffn_down",
    "mlp.up_proj": "ffn_up",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _randomise(model: torch.nn.Module) -> None:
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)


@pytest.fixture(scope="session")
def llama() -> LlamaForCausalLM:
    """A LLaMA of three blocks with grouped-query heads, every weight random."""
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=32,
            intermediate_size=64,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_hidden_layers=3,
            vocab_size=32,
            rms_norm_eps=1e-5,
        )
    )
    _randomise(model)
    return model


@pytest.fixture(scope="session")
def make_opt() -> Callable[[bool], OPTForCausalLM]:
    """Makes an OPT of two blocks, pre-norm or, as the 350M model, post-norm."""

    def make(pre_norm: bool) -> OPTForCausalLM:
        config = OPTConfig(
            hidden_size=24,
            ffn_dim=40,
            num_attention_heads=3,
            num_hidden_layers=2,
            vocab_size=32,
            word_embed_proj_dim=24,
            do_layer_norm_before=pre_norm,
        )
        model = OPTForCausalLM(config)
        _randomise(model)
        return model

    return make


@pytest.fixture
def hugging_face_folder(llama: LlamaForCausalLM, tmp_path: Path) -> Path:
    """The model in two or more safetensors shards, as transformers saves it."""
    llama.save_pretrained(tmp_path / "hf", max_shard_size="40KB")
    return tmp_path / "hf"


@pytest.fixture
def change_config() -> Callable[..., None]:
    """Edits config.json (or params.json): None removes a key."""

    def change(path: Path, **changes: Any) -> None:
        config = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return change


@pytest.fixture
def write_meta(llama: LlamaForCausalLM, tmp_path: Path) -> Callable[..., Path]:
    """Writes the model as Meta releases it, in tensor-parallel shards."""

    def write(shards: int = 1, rope: bool = False) -> Path:
        folder = tmp_path / f"meta{shards}"
        folder.mkdir()
        params = {"dim": 32, "n_heads": 4, "n_kv_heads": 2, "n_layers": 3, "norm_eps": 1e-5, "multiple_of": 64}
        (folder / "params.json").write_text(json.dumps(params | {"ffn_dim_multiplier": 0.7}))
        for shard in range(shards):
            tensors = {}
            for name, value in llama.state_dict().items():
                ours = _rename(name, META_NAMES, "layers.{}.")
                axis = 1 if ours.endswith(("wo.weight", "w2.weight")) else 0
                split = value.dim() > 1 and shards > 1
                tensors[ours] = value.chunk(shards, axis)[shard].clone() if split else value.clone()
            if rope:
                tensors["layers.1.attention.inner_attention.rope.freqs"] = torch.ones(4)
            torch.save(tensors, folder / f"consolidated.{shard:02d}.pth")
        return folder

    return write


@pytest.fixture
def write_gguf(llama: LlamaForCausalLM, tmp_path: Path) -> Callable[..., Path]:
    """Writes the model with the gguf package's own writer."""

    def write(
        kind: GGMLQuantizationType = GGMLQuantizationType.F32, architecture: str = "llama", head_dim: int | None = None
    ) -> Path:
        path = tmp_path / "model.gguf"
        writer = GGUFWriter(path, architecture)
        writer.add_block_count(3)
        writer.add_embedding_length(32)
        writer.add_feed_forward_length(64)
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
        writer.add_layer_norm_rms_eps(1e-5)
        if head_dim is not None:
            writer.add_key_length(head_dim)
        for name, value in llama.state_dict().items():
            stored = value.numpy()
            if value.dim() > 1:
                writer.add_tensor(_rename(name, GGUF_NAMES, "blk.{}."), quantize(stored, kind), raw_dtype=kind)
            else:
                writer.add_tensor(_rename(name, GGUF_NAMES, "blk.{}."), stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


def _rename(name: str, names: dict[str, str], layer: str) -> str:
    """A Hugging Face name in another format."""
    if not name.startswith("model.layers."):
        final = "output_norm" if layer.startswith("blk") else "norm"
        return (
            name.replace("model.norm", final).replace("model.embed_tokens", "token_embd").replace("lm_head", "output")
        )
    _, _, index, *part, kind = name.split(".")
    return f"{layer.format(index)}{names['.'.join(part)]}.{kind}"


@pytest.fixture
def assert_same_block(llama: LlamaForCausalLM) -> Callable[[dict[str, Tensor], int], None]:
    """Checks a state dict of ours against one block of the model."""
    theirs = {
        "attention_norm": "input_layernorm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
    }

    def check(state: dict[str, Tensor], layer: int) -> None:
        expected = llama.model.layers[layer].state_dict()
        assert len(state) == len(expected)
        for name, value in state.items():
            part, kind = name.rsplit(".", 1)
            assert torch.equal(value, expected[f"{theirs[part]}.{kind}"]), name

    return check
