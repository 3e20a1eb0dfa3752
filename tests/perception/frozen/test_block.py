from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import LlamaConfig, OPTConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.opt.modeling_opt import OPTDecoderLayer

from perception.errors import InputError
from perception.frozen.block import BlockConfig, LlamaBlock, OptBlock
from perception.tokens import Readout, Tokens

few = settings(deadline=None, max_examples=12)

LLAMA_NAMES = {
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
OPT_NAMES = {
    "attention_norm": "self_attn_layer_norm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "ffn_norm": "final_layer_norm",
    "up": "fc1",
    "down": "fc2",
}


@st.composite
def configs(draw: st.DrawFn) -> BlockConfig:
    """Small blocks of every architecture, grouped-query heads included."""
    kv_heads, group, head_dim = draw(st.integers(1, 3)), draw(st.integers(1, 3)), 2 * draw(st.integers(1, 4))
    heads = kv_heads * group
    ffn_dim, eps = draw(st.integers(1, 24)), draw(st.sampled_from([1e-5, 1e-6]))
    if draw(st.booleans()):
        return BlockConfig("llama", heads * head_dim, heads, kv_heads, ffn_dim, eps)
    return BlockConfig("opt", heads * head_dim, heads, heads, ffn_dim, 1e-5, pre_norm=draw(st.booleans()))


def make_block(config: BlockConfig, seed: int = 0) -> LlamaBlock | OptBlock:
    """A float64 block with every weight random, norms and biases too."""
    torch.manual_seed(seed)
    block = config.build().double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block


def make_tokens(config: BlockConfig, batch: int = 2, tokens: int = 7) -> tuple[Tensor, Tensor]:
    """Tokens and a mask with padding in it; at least one valid token a sample."""
    values = torch.randn(batch, tokens, config.dim, dtype=torch.float64)
    valid = torch.rand(batch, tokens) < 0.6
    valid[:, 0] = True
    return values, valid


def hugging_face_layer(config: BlockConfig, block: nn.Module, exact_norm: bool) -> nn.Module:
    """transformers' layer with the block's weights.

    Its LLaMA norm drops to float32 even in float64 (as does its "eager" softmax), so PyTorch's norm takes its place
    where 1e-10 is asked.
    """
    shared: dict[str, Any] = {
        "hidden_size": config.dim,
        "num_attention_heads": config.heads,
        "attn_implementation": "sdpa",
    }
    if config.architecture == "llama":
        llama = LlamaConfig(
            **shared,
            num_key_value_heads=config.kv_heads,
            intermediate_size=config.ffn_dim,
            rms_norm_eps=config.eps,
        )
        layer: nn.Module = LlamaDecoderLayer(llama, layer_idx=0).double()
        if exact_norm:
            layer.add_module("input_layernorm", nn.RMSNorm(config.dim, config.eps, dtype=torch.float64))
            layer.add_module("post_attention_layernorm", nn.RMSNorm(config.dim, config.eps, dtype=torch.float64))
    else:
        opt = OPTConfig(
            **shared,
            ffn_dim=config.ffn_dim,
            do_layer_norm_before=config.pre_norm,
            dropout=0.0,
        )
        layer = OPTDecoderLayer(opt, layer_idx=0).double()
    names = LLAMA_NAMES if config.architecture == "llama" else OPT_NAMES
    state = {}
    for name, value in block.state_dict().items():
        part, kind = name.rsplit(".", 1)
        state[f"{names[part]}.{kind}"] = value
    layer.load_state_dict(state)
    return layer


def run_hugging_face(config: BlockConfig, layer: nn.Module, values: Tensor, valid: Tensor) -> Tensor:
    """The layer without rotary embedding (cos 1, sin 0) and with an explicit mask, since without one it is causal."""
    batch, tokens, _ = values.shape
    mask = torch.zeros(batch, 1, tokens, tokens, dtype=values.dtype)
    mask = mask.masked_fill(~valid[:, None, None, :], torch.finfo(values.dtype).min)
    if config.architecture == "opt":
        return layer(values, attention_mask=mask)
    ones = torch.ones(batch, tokens, config.dim // config.heads, dtype=values.dtype)
    return layer(values, attention_mask=mask, position_embeddings=(ones, torch.zeros_like(ones)))


@few
@given(config=configs(), seed=st.integers(0, 9))
def test_block_equals_the_layer_of_transformers(config: BlockConfig, seed: int) -> None:
    block = make_block(config, seed)
    values, valid = make_tokens(config)
    theirs = run_hugging_face(config, hugging_face_layer(config, block, exact_norm=True), values, valid)
    ours = block(values, valid)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    everything = torch.ones_like(valid)
    torch.testing.assert_close(block(values, None), block(values, everything), rtol=1e-12, atol=1e-12)


def test_float32_block_equals_the_untouched_llama_layer() -> None:
    config = BlockConfig("llama", 24, 6, 2, 40, 1e-6)
    block = make_block(config).float()
    values, valid = make_tokens(config)
    layer = hugging_face_layer(config, block, exact_norm=False).float()
    theirs = run_hugging_face(config, layer, values.float(), valid)
    torch.testing.assert_close(block(values.float(), valid), theirs, rtol=1e-5, atol=1e-5)


@few
@given(config=configs(), data=st.data())
def test_read_rows_equal_the_gathered_full_output_in_values_and_gradients(config: BlockConfig, data: Any) -> None:
    block = make_block(config)
    values, valid = make_tokens(config)
    rows = data.draw(st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=2, max_size=2))
    readout = Readout(torch.tensor(rows))
    weight = torch.randn(2, 3, config.dim, dtype=torch.float64)
    results = []
    for evaluate in (lambda x: block(x, valid, readout), lambda x: readout.gather(block(x, valid))):
        x = values.clone().requires_grad_()
        out = evaluate(x)
        gradients = torch.autograd.grad((out * weight).sum(), [x, *block.parameters()])
        results.append((out, *gradients))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-10)


@few
@given(config=configs(), seed=st.integers(0, 99))
def test_permuted_tokens_give_permuted_outputs(config: BlockConfig, seed: int) -> None:
    block = make_block(config, seed)
    values, valid = make_tokens(config)
    order = torch.randperm(values.shape[1])
    torch.testing.assert_close(block(values[:, order], valid[:, order]), block(values, valid)[:, order])


@few
@given(config=configs(), seed=st.integers(0, 99))
def test_padded_tokens_change_no_valid_row(config: BlockConfig, seed: int) -> None:
    block = make_block(config, seed)
    values, valid = make_tokens(config, batch=1)
    garbled = torch.where(valid[..., None], values, torch.full_like(values, 1e3))
    kept = values[:, valid[0]]
    expected = block(kept, None)
    torch.testing.assert_close(block(values, valid)[:, valid[0]], expected)
    torch.testing.assert_close(block(garbled, valid)[:, valid[0]], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["llama", "opt"])
def test_sample_without_valid_tokens_is_finite_in_value_and_gradient(architecture: Any, dtype: torch.dtype) -> None:
    config = BlockConfig(architecture, 12, 3, 1 if architecture == "llama" else 3, 20, 1e-5)
    block = make_block(config).to(dtype)
    values, valid = make_tokens(config)
    valid[0] = False
    x = values.to(dtype).requires_grad_()
    out = block(x, valid)
    out.float().square().sum().backward()
    assert x.grad is not None
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    alone = block(x[1:], valid[1:])
    torch.testing.assert_close(out[1:], alone, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("architecture", ["llama", "opt"])
def test_autocast_to_bfloat16_stays_close_and_keeps_gradients(architecture: Any) -> None:
    config = BlockConfig(architecture, 32, 4, 2 if architecture == "llama" else 4, 48, 1e-5)
    torch.manual_seed(0)
    block = config.build()
    values, valid = (t.float() if t.is_floating_point() else t for t in make_tokens(config))
    x = values.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = block(x, valid, Readout.first(Tokens(x, valid)))
    out.float().sum().backward()
    torch.testing.assert_close(out.float(), block(x, valid)[:, :1], rtol=0.05, atol=0.05)
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_half_precision_norm_is_computed_in_float32() -> None:
    block = BlockConfig("llama", 64, 4, 4, 8, 1e-6).build()
    norm = copy.deepcopy(block.attention_norm).half()
    x = torch.full((1, 64), 600.0, dtype=torch.float16)
    assert torch.isinf(x.square()).all(), "the squares overflow float16, so the norm must not be computed in it"
    torch.testing.assert_close(norm(x), torch.ones_like(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (("llama", 10, 3, 3, 8, 1e-5), "heads that divide the width"),
        (("llama", 12, 4, 3, 8, 1e-5), "kv_heads that divide heads"),
        (("opt", 12, 4, 2, 8, 1e-5), "expected one key/value head per head in OPT"),
        (("llama", 12, 4, 2, 8, 1e-5, False), "expected pre_norm=True"),
        (("llama", True, 1, 1, 8, 1e-5), "dim: expected a whole number from 1 to 1048576, got True"),
        (("llama", 12, 4, 2, 2**40, 1e-5), "ffn_dim: expected a whole number"),
        (("llama", 12, 0, 2, 8, 1e-5), "block: heads: expected a whole number"),
        (("llama", 12, 4, 2, 8, float("nan")), "eps between 0 and 1, got nan"),
    ],
)
def test_impossible_shape_is_named(config: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BlockConfig(*config)
