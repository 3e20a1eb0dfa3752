from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.frozen.weights import LoadedBlocks, WeightsError, load_blocks
from perception.frozen.weights.blocks import block_shapes, resolve_layers


@pytest.fixture
def blocks() -> LoadedBlocks:
    return load_blocks("random:12x20x6x2?seed=1#0,1")


def changed(blocks: LoadedBlocks, name: str, value: torch.Tensor) -> LoadedBlocks:
    return replace(blocks, states=({**blocks.states[0], name: value}, blocks.states[1]))


def test_fingerprint_changes_with_any_value_shape_order_or_norm(blocks: LoadedBlocks) -> None:
    touched = blocks.states[0]["down.weight"].clone()
    touched[-1, -1] += 1e-6
    others = [
        changed(blocks, "down.weight", touched),
        replace(blocks, config=replace(blocks.config, eps=1e-5)),
        replace(blocks, states=blocks.states[::-1]),
        replace(blocks, states=blocks.states[:1]),
        replace(blocks, final_norm={"weight": torch.ones(12)}),
    ]
    assert len({blocks.fingerprint, *(other.fingerprint for other in others)}) == 6


def test_fingerprint_does_not_depend_on_storage(blocks: LoadedBlocks) -> None:
    half = blocks.to(torch.bfloat16)
    assert half.to(torch.float32).fingerprint == half.fingerprint
    transposed = changed(blocks, "q.weight", blocks.states[0]["q.weight"].T.contiguous().T)
    assert transposed.fingerprint == blocks.fingerprint


def test_built_blocks_hold_the_tensors_themselves(blocks: LoadedBlocks) -> None:
    for module, state in zip(blocks.build(), blocks.states, strict=True):
        for name, value in module.state_dict().items():
            assert value.data_ptr() == state[name].data_ptr()


def test_missing_or_surplus_tensor_is_refused(blocks: LoadedBlocks) -> None:
    state = dict(blocks.states[0])
    del state["k.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*k\.weight"):
        replace(blocks, states=(state,)).build()
    with pytest.raises(RuntimeError, match=r"Unexpected key.*extra"):
        changed(blocks, "extra", torch.ones(1)).build()


def test_missing_final_norm_is_named(blocks: LoadedBlocks) -> None:
    with pytest.raises(WeightsError, match=r"random:12x20x6x2.* has no final norm"):
        blocks.build_final_norm()


def test_shapes_cost_no_memory(blocks: LoadedBlocks) -> None:
    assert block_shapes(blocks.config) == {name: tuple(v.shape) for name, v in blocks.states[0].items()}


@settings(deadline=None)
@given(count=st.integers(1, 40), layer=st.integers(-60, 60))
def test_layers_count_from_either_end(count: int, layer: int) -> None:
    if -count <= layer < count:
        assert resolve_layers([layer], count, "model") == (list(range(count))[layer],)
    else:
        with pytest.raises(WeightsError, match=f"model has no block {layer}: it has {count}"):
            resolve_layers([layer], count, "model")


def test_blocks_and_norm_are_converted_together(blocks: LoadedBlocks) -> None:
    half = replace(blocks, final_norm={"weight": torch.ones(12)}).to(torch.bfloat16)
    tensors = [*half.final_norm.values(), *(value for state in half.states for value in state.values())]
    assert {tensor.dtype for tensor in tensors} == {torch.bfloat16}
    assert blocks.to(None) is blocks
