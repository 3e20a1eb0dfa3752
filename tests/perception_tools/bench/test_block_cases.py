from __future__ import annotations

import pytest
import torch

from perception.frozen.adapter import build_adapter
from perception.frozen.block import LlamaBlock
from perception_tools.bench.block import NAMES
from perception_tools.bench.block_cases import Bench, Size, as_released, plainly


def test_every_named_case_exists():
    assert tuple(Bench("random:64x96x4", quick=True).cases()) == NAMES


@pytest.mark.parametrize("name", ["vit-cls", "vit-cls-backward", "point-bert"])
def test_all_ways_of_a_case_give_the_same(name: str):
    torch.manual_seed(0)
    case = Bench("random:64x96x4", quick=True).cases()[name]()
    truth = case.baseline()
    for contender in case.contenders:
        for value, true in zip(contender.work(), truth, strict=True):
            error = ((value - true).norm() / true.norm()).item()
            assert error < (1e-5 if contender.precision == "float32" else 0.1)
    case.close()


def test_the_plain_way_is_the_adapters_function():
    torch.manual_seed(0)
    adapter = build_adapter(16, source="random:64x96x4").requires_grad_(False)
    tokens, readout = Size(2, 5, 16, 3).question()
    torch.testing.assert_close(plainly(adapter, tokens, readout), adapter(tokens, readout), rtol=1e-5, atol=1e-6)


def test_the_released_order_of_operations_is_the_blocks_function():
    torch.manual_seed(0)
    block = build_adapter(16, source="random:64x96x4").blocks[0].requires_grad_(False)
    assert isinstance(block, LlamaBlock)
    x = torch.randn(2, 9, 64)
    torch.testing.assert_close(as_released(block, x), block(x, None), rtol=1e-5, atol=1e-5)
