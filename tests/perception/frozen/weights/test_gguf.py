from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType
from transformers import LlamaForCausalLM

from perception.frozen.weights import WeightsError, gguf, load_blocks

Check = Callable[[dict[str, torch.Tensor], int], None]


def test_gguf_gives_the_same_block(
    write_gguf: Callable[..., Path], assert_same_block: Check, llama: LlamaForCausalLM
) -> None:
    blocks = load_blocks(f"{write_gguf()}#1")
    assert_same_block(blocks.states[0], 1)
    assert torch.equal(blocks.final_norm["weight"], llama.model.norm.weight)
    assert (blocks.config.eps, blocks.config.kv_heads, blocks.source_layers) == (1e-5, 2, 3)


@pytest.mark.parametrize(
    ("kind", "error"),
    [(GGMLQuantizationType.F16, 1e-3), (GGMLQuantizationType.Q8_0, 0.01), (GGMLQuantizationType.Q4_1, 0.15)],
)
def test_quantised_weights_are_within_one_step(
    write_gguf: Callable[..., Path], llama: LlamaForCausalLM, kind: GGMLQuantizationType, error: float
) -> None:
    blocks = load_blocks(f"{write_gguf(kind)}#0")
    assert set(blocks.stored_dtype.split(", ")) == {"F32", kind.name}
    difference = blocks.states[0]["q.weight"] - llama.state_dict()["model.layers.0.self_attn.q_proj.weight"]
    assert difference.abs().max() < error


def test_rows_permuted_inside_the_heads_give_the_same_block(write_gguf: Callable[..., Path]) -> None:
    """llama.cpp's converter permutes q and k for its rotary embedding, which the block does not have."""
    blocks = load_blocks(str(write_gguf()))
    state = dict(blocks.states[0])
    for name, heads in (("q.weight", 4), ("k.weight", 2)):
        rows = state[name].unflatten(0, (heads, 2, -1))
        state[name] = rows.transpose(1, 2).reshape(state[name].shape).contiguous()
    permuted = blocks.config.build()
    permuted.load_state_dict(state)
    x = torch.randn(2, 5, 32)
    torch.testing.assert_close(permuted(x, None), blocks.build()[0](x, None))


def test_other_architecture_is_named(write_gguf: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match=r"model\.gguf: expected a model of architecture llama, got 'qwen2'"):
        load_blocks(str(write_gguf(architecture="qwen2")))


def test_heads_of_another_width_are_refused(write_gguf: Callable[..., Path]) -> None:
    assert load_blocks(str(write_gguf(head_dim=8))).config.heads == 4
    with pytest.raises(WeightsError, match=r"model\.gguf: expected heads of width 8 \(width / heads\), got 16"):
        load_blocks(str(write_gguf(head_dim=16)))


def test_a_type_that_cannot_be_decoded_is_named(
    write_gguf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise NotImplementedError("no such type")

    path = write_gguf(GGMLQuantizationType.Q8_0)
    monkeypatch.setattr(gguf, "dequantize", fail)
    with pytest.raises(
        WeightsError, match=r"model\.gguf: .*no such type.* cannot decode 'blk\.2\.attn_\S+', which is F32"
    ):
        load_blocks(str(path))


@pytest.mark.parametrize("kept", [0, 3, 100, 2000, 20_000])
def test_cut_short_file_is_named(write_gguf: Callable[..., Path], kept: int) -> None:
    path = write_gguf()
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"model\.gguf: it cannot be parsed .*download it again"):
        load_blocks(str(path))


def test_missing_layer_is_named(write_gguf: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError, match="has no block 7"):
        load_blocks(f"{write_gguf()}#7")


@pytest.mark.parametrize("number", ["list", "fields", "tensors"])
def test_more_entries_than_the_file_holds_are_refused_and_not_counted_to(
    write_gguf: Callable[..., Path], number: str
) -> None:
    path = write_gguf()
    data = bytearray(path.read_bytes())
    places = {"fields": 16, "tensors": 8, "list": data.index(b"general.architecture") + 20}
    if number == "list":  # the text becomes a list of 2**60 bytes
        data[places["list"] : places["list"] + 16] = struct.pack("<IIQ", 9, 0, 2**60)
    else:
        data[places[number] : places[number] + 8] = struct.pack("<Q", 2**60)
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"model\.gguf: it cannot be parsed"):
        load_blocks(str(path))
