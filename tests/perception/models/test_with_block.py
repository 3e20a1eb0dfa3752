"""Every model keeps the protocol, and another block leaves the rest of it alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fixtures.protocols import keeps_with_block
from perception.encoders.vectornet.network import VectorNet
from perception.errors import InputError
from perception.frozen.adapter import Kind, build_adapter
from perception.frozen.folded import FoldedBlock
from perception.heads.trajectory import TrajectoryDecoder
from perception.kernels.linear import InferenceLinear
from perception.models.forecaster import Forecaster
from perception.models.with_block import exchange_block, fold_block


def make(kind: Kind = "language", source: str = "random:32x48x4?seed=0") -> Forecaster:
    torch.manual_seed(0)
    block = build_adapter(16, kind=kind, source=source, init="default")
    return Forecaster(VectorNet(16, (4, 8, 8), heads=2), block, TrajectoryDecoder(16, modes=2, steps=5))


def test_a_forecaster_is_a_model_with_a_block() -> None:
    assert keeps_with_block(make())


def test_another_block_takes_the_place_of_the_first_and_all_other_weights_are_shared() -> None:
    model, other = make(), nn.Identity()
    exchanged = exchange_block(model, other)
    assert exchanged.block is other
    assert model.block is not other
    assert exchanged.encoder is model.encoder
    assert "block.project_in.weight" not in exchanged.state_dict()


def test_a_folded_model_leaves_the_trained_one_as_it_was() -> None:
    model = make().train()
    served = fold_block(model, "int8")
    assert isinstance(served.block, FoldedBlock)
    assert served.block.tail.precision == "int8"
    assert not served.training
    assert model.training
    assert all(module.training for module in model.modules())
    assert not any(isinstance(module, InferenceLinear) for module in model.modules())
    assert all(p is q for p, q in zip(served.encoder.parameters(), model.encoder.parameters(), strict=True))


@pytest.mark.parametrize("kind", ["none", "mlp"])
def test_a_model_without_a_language_block_is_served_with_its_own_and_has_nothing_to_narrow(kind: Kind) -> None:
    model = make(kind)
    served = fold_block(model, "float32")
    assert all(p is q for p, q in zip(served.parameters(), model.parameters(), strict=True))
    with pytest.raises(InputError, match=r"precision int8: .* leave the precision out"):
        fold_block(model, "int8")


def test_several_blocks_are_served_as_they_are() -> None:
    from perception.frozen.weights import load_blocks

    first, second = (load_blocks(f"random:32x48x4?seed={seed}").build()[0] for seed in (0, 1))
    model = make()
    model.block.blocks = nn.ModuleList([first, second])  # pyright: ignore[reportAttributeAccessIssue]
    assert len(fold_block(model, "float32").block.blocks) == 2  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    with pytest.raises(InputError, match="one language block"):
        fold_block(model, "bfloat16")
