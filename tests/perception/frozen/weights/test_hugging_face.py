from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM, OPTForCausalLM

from perception.frozen.block import BlockConfig
from perception.frozen.readout import read_rows
from perception.frozen.weights import WeightsError, load_blocks, read_config
from perception.tokens import Tokens

Check = Callable[[dict[str, torch.Tensor], int], None]


def test_sharded_safetensors_give_the_named_blocks(hugging_face_folder: Path, assert_same_block: Check) -> None:
    assert len(list(hugging_face_folder.glob("*.safetensors"))) > 1
    blocks = load_blocks(f"{hugging_face_folder}#0,-1")
    assert blocks.layers == (0, 2)
    assert blocks.source == f"{hugging_face_folder}#0,2"
    assert_same_block(blocks.states[0], 0)
    assert_same_block(blocks.states[1], 2)
    assert (blocks.config.kv_heads, blocks.config.eps, blocks.source_layers) == (2, 1e-5, 3)


def test_built_block_equals_the_models_own_layer(llama: LlamaForCausalLM, hugging_face_folder: Path) -> None:
    (block,) = load_blocks(str(hugging_face_folder)).build()
    x = torch.randn(2, 5, 32)
    ones = torch.ones(2, 5, 8)
    mask = torch.zeros(2, 1, 5, 5)
    theirs = llama.model.layers[2](x, attention_mask=mask, position_embeddings=(ones, torch.zeros_like(ones)))
    torch.testing.assert_close(block(x, None), theirs, rtol=1e-5, atol=1e-5)


def test_mistrals_block_equals_the_models_own_layer_in_every_regime(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = MistralConfig(
        hidden_size=32,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_hidden_layers=2,
        vocab_size=32,
        sliding_window=3,
    )
    model = MistralForCausalLM(config).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path)
    (block,) = load_blocks(str(tmp_path), torch.float64).build()
    layer = model.model.layers[1]
    for name in ("input_layernorm", "post_attention_layernorm"):  # transformers computes its norms in float32
        norm = torch.nn.RMSNorm(32, config.rms_norm_eps, dtype=torch.float64)
        norm.load_state_dict(getattr(layer, name).state_dict())
        setattr(layer, name, norm)
    project_in = torch.nn.Linear(6, 32, bias=False, dtype=torch.float64)
    z = torch.randn(2, 7, 6, dtype=torch.float64)
    ones = torch.ones(2, 7, 8, dtype=torch.float64)
    mask = torch.zeros(2, 1, 7, 7, dtype=torch.float64)  # all tokens, also those outside of the sliding window
    with torch.no_grad():
        x = project_in(z)
        theirs = layer(x, attention_mask=mask, position_embeddings=(ones, torch.zeros_like(ones)))
        torch.testing.assert_close(block(x, None), theirs, rtol=1e-10, atol=1e-10)
        tokens = Tokens(z, torch.ones(2, 7, dtype=torch.bool))
        for regime in ("absorbed", "folded", "full"):
            read = read_rows(block, project_in, tokens, regime=regime)
            torch.testing.assert_close(read, theirs, rtol=1e-10, atol=1e-10)


def test_final_norm_is_the_models_own(llama: LlamaForCausalLM, hugging_face_folder: Path) -> None:
    norm = load_blocks(str(hugging_face_folder)).build_final_norm()
    x = torch.randn(2, 3, 32)
    torch.testing.assert_close(norm(x), llama.model.norm(x))


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_single_bin_file_is_read_whatever_the_prefix(
    llama: LlamaForCausalLM, tmp_path: Path, assert_same_block: Check, prefix: str
) -> None:
    llama.config.save_pretrained(tmp_path)
    state = {name.replace("model.", prefix, 1): value for name, value in llama.state_dict().items()}
    state[f"{prefix}layers.1.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert_same_block(load_blocks(f"{tmp_path}#1").states[0], 1)


def test_sharded_bin_files_are_read(llama: LlamaForCausalLM, tmp_path: Path, assert_same_block: Check) -> None:
    llama.config.save_pretrained(tmp_path)
    files = {name: f"pytorch_model-{index % 2}.bin" for index, name in enumerate(llama.state_dict())}
    for file in set(files.values()):
        torch.save({n: v for n, v in llama.state_dict().items() if files[n] == file}, tmp_path / file)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))
    blocks = load_blocks(f"{tmp_path}#1")
    assert_same_block(blocks.states[0], 1)
    assert len(blocks.files) == 2


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("stem", ["model.decoder.", "decoder."])
def test_opt_block_equals_the_models_own_layer(
    make_opt: Callable[[bool], OPTForCausalLM], tmp_path: Path, pre_norm: bool, stem: str
) -> None:
    model = make_opt(pre_norm).eval()
    model.config.save_pretrained(tmp_path)
    state = model.model.decoder.state_dict()
    save_file({f"{stem}{name}": value for name, value in state.items()}, tmp_path / "model.safetensors")
    blocks = load_blocks(str(tmp_path))
    assert blocks.config.pre_norm is pre_norm
    x = torch.randn(2, 5, 24)
    theirs = model.model.decoder.layers[1](x, attention_mask=torch.zeros(2, 1, 5, 5))
    torch.testing.assert_close(blocks.build()[0](x, None), theirs, rtol=1e-5, atol=1e-5)
    if pre_norm:
        final = model.model.decoder.final_layer_norm
        assert final is not None
        torch.testing.assert_close(blocks.build_final_norm()(x), final(x))
    else:
        with pytest.raises(WeightsError, match="has no final norm"):
            blocks.build_final_norm()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enable_bias": False}, "expected enable_bias=True"),
        ({"layer_norm_elementwise_affine": False}, "expected layer_norm_elementwise_affine=True"),
        ({"activation_function": "gelu"}, "expected activation_function='relu'"),
        ({"ffn_dim": None}, "config.json lacks 'ffn_dim', which a model of type opt has"),
    ],
)
def test_variant_of_opt_is_refused(
    make_opt: Callable[[bool], OPTForCausalLM],
    change_config: Callable[..., None],
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    make_opt(True).config.save_pretrained(tmp_path)
    assert read_config(str(tmp_path))[0] == BlockConfig("opt", 24, 3, 3, 40, 1e-5)
    change_config(tmp_path / "config.json", **changes)
    with pytest.raises(WeightsError, match=message):
        read_config(str(tmp_path))


def test_half_precision_is_widened_unless_the_stored_type_is_requested(llama: LlamaForCausalLM, tmp_path: Path) -> None:
    llama.config.save_pretrained(tmp_path)
    save_file({n: v.half() for n, v in llama.state_dict().items()}, tmp_path / "model.safetensors")
    wide, stored = load_blocks(str(tmp_path)), load_blocks(str(tmp_path), dtype=None)
    assert wide.states[0]["q.weight"].dtype is torch.float32
    assert stored.states[0]["q.weight"].dtype is torch.float16
    assert wide.stored_dtype == stored.stored_dtype == "float16"
    assert wide.fingerprint == stored.fingerprint


def test_configuration_alone_is_enough_for_the_shape(hugging_face_folder: Path) -> None:
    for file in hugging_face_folder.glob("*.safetensors*"):
        file.unlink()
    config, layers = read_config(f"{hugging_face_folder}#-2")
    assert (config.dim, config.ffn_dim, layers) == (32, 64, (1,))
    with pytest.raises(WeightsError, match=r"expected beside|expected one of model\.safetensors"):
        load_blocks(str(hugging_face_folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen2"}, "llama, mistral or opt, config.json says 'qwen2'; its block differs .* have biases"),
        ({"model_type": "qwen2_moe"}, "says 'qwen2_moe'; its block differs from LLaMA's: .*mixture of experts"),
        ({"model_type": "qwen3"}, "says 'qwen3'; .* queries and keys are normalised in each head"),
        ({"model_type": "gemma2"}, r"says 'gemma2'; .* scale by 1 \+ weight, .* GELU, embeddings are scaled"),
        ({"model_type": ["llama"]}, r"says \['llama'\]$"),
        ({"model_type": "gpt2"}, "config.json says 'gpt2'"),
        ({"attention_bias": True}, "expected attention_bias=False"),
        ({"mlp_bias": True}, "expected mlp_bias=False"),
        ({"hidden_act": "gelu"}, "expected hidden_act='silu'"),
        ({"head_dim": 16}, "expected head_dim=8"),
        ({"quantization_config": {"bits": 4}}, "its weights are quantised"),
        ({"hidden_size": None}, "config.json lacks 'hidden_size'"),
        ({"hidden_size": "32"}, "hidden_size: expected a whole number from 1 to 1048576, got '32'"),
        ({"num_attention_heads": 0}, "num_attention_heads: expected a whole number"),
        ({"num_hidden_layers": 0}, "number of blocks: expected a whole number from 1"),
        ({"rms_norm_eps": 2.0}, "hf: block: expected eps between 0 and 1, got 2.0"),
        ({"intermediate_size": 65}, r"'model.layers.2.mlp.gate_proj.weight' should have shape \(65, 32\).*\(64, 32\)"),
        ({"num_hidden_layers": 4}, "expected tensor 'model.layers.3.input_layernorm.weight' of a llama block"),
    ],
)
def test_configuration_that_does_not_fit_is_named(
    hugging_face_folder: Path, change_config: Callable[..., None], changes: dict[str, Any], message: str
) -> None:
    change_config(hugging_face_folder / "config.json", **changes)
    with pytest.raises(WeightsError, match=message):
        load_blocks(str(hugging_face_folder))


def test_bias_that_a_llama_block_does_not_have_is_refused(llama: LlamaForCausalLM, tmp_path: Path) -> None:
    llama.config.save_pretrained(tmp_path)
    state = {**llama.state_dict(), "model.layers.2.self_attn.q_proj.bias": torch.zeros(32)}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="which a llama block does not have"):
        load_blocks(str(tmp_path))
    load_blocks(f"{tmp_path}#1")


def test_missing_layer_is_named(hugging_face_folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no block 3: it has 3, 0 to 2 \(or -3 to -1\)"):
        load_blocks(f"{hugging_face_folder}#3")


def test_truncated_shard_is_named(hugging_face_folder: Path) -> None:
    for shard in hugging_face_folder.glob("*.safetensors"):
        shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(WeightsError, match=r"\.safetensors: it cannot be parsed .*download it again"):
        load_blocks(str(hugging_face_folder))


def test_missing_shard_is_named(hugging_face_folder: Path) -> None:
    for shard in hugging_face_folder.glob("*.safetensors"):
        shard.unlink()
    with pytest.raises(WeightsError, match=r"the index names 'model-0000.*there is no such file"):
        load_blocks(str(hugging_face_folder))


def test_shard_without_a_tensor_of_the_index_is_named(hugging_face_folder: Path) -> None:
    for shard in hugging_face_folder.glob("*.safetensors"):
        kept = {name: value for name, value in load_file(shard).items() if "q_proj" not in name}
        save_file(kept, shard)
    with pytest.raises(WeightsError, match=r"expected a readable tensor 'model.layers.2.self_attn.q_proj.weight'"):
        load_blocks(str(hugging_face_folder))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((32, 32), float("nan")), "not finite"),
        (torch.zeros(32, 32, dtype=torch.int8), "stored as int8; expected plain floating-point"),
    ],
)
def test_weights_that_are_not_finite_floats_are_refused(
    llama: LlamaForCausalLM, tmp_path: Path, value: torch.Tensor, message: str
) -> None:
    llama.config.save_pretrained(tmp_path)
    save_file({**llama.state_dict(), "model.layers.2.self_attn.q_proj.weight": value}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_blocks(str(tmp_path))


def test_overflow_in_half_precision_is_refused(llama: LlamaForCausalLM, tmp_path: Path) -> None:
    llama.config.save_pretrained(tmp_path)
    state = {**llama.state_dict(), "model.layers.2.self_attn.q_proj.weight": torch.full((32, 32), 1e6)}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"not finite as torch\.float16; load it as bfloat16 or float32"):
        load_blocks(str(tmp_path), torch.float16)
    load_blocks(str(tmp_path), torch.bfloat16)


def test_broken_json_is_named(hugging_face_folder: Path) -> None:
    (hugging_face_folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json: it cannot be parsed .*download it again"):
        load_blocks(str(hugging_face_folder))
