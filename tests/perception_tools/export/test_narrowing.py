"""Narrower weights in a graph."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto
from onnxruntime import InferenceSession
from torch import Tensor, nn

from perception.errors import InputError
from perception.frozen.adapter import build_adapter
from perception.frozen.folded import fold
from perception.tokens import Tokens
from perception_tools.export.graph import GraphSource, trace
from perception_tools.export.narrowing import name_tail, narrow, tail_weights, write_narrowed
from perception_tools.export.precisions import ExportPrecision


class Model(nn.Module):
    """A folded block and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block = fold(build_adapter(16, kind="random", source="random:64x96x4?seed=0").eval())

    def forward(self, values: Tensor) -> Tensor:
        return self.block(Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool)))


@pytest.fixture(scope="module")
def model() -> Model:
    return Model().eval()


@pytest.fixture(scope="module")
def named(model: Model) -> tuple[ModelProto, tuple[str, ...]]:
    proto = trace(GraphSource(model, lambda model, x: model(x)), torch.randn(2, 5, 16))
    return proto, name_tail(proto, tail_weights(model))


def copied(proto: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(proto)
    return copy


def test_the_tails_weights_are_found_in_the_graph(named: tuple[ModelProto, tuple[str, ...]], model: Model) -> None:
    proto, names = named
    assert names == ("tail.o", "tail.gate", "tail.up", "tail.down")
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for name, weight in tail_weights(model).items():
        np.testing.assert_array_equal(held[f"tail.{name}"], weight)
    assert tail_weights(nn.Linear(2, 2)) == {}


@pytest.mark.parametrize(
    ("precision", "bound", "saved"),
    [("bf16", 1e-2, 0.45), ("fp16", 1e-3, 0.45), ("int8", 0.05, 0.7), ("int4", 0.3, 0.85)],
)
def test_narrow_weights_take_less_room_and_are_near(
    precision: ExportPrecision, bound: float, saved: float, named: tuple[ModelProto, tuple[str, ...]], model: Model
) -> None:
    proto, names = named
    narrowed = narrow(copied(proto), names, precision)
    onnx.checker.check_model(narrowed)
    assert {node.domain for node in narrowed.graph.node} <= {"", "ai.onnx"}
    tail = sum(weight.nbytes for weight in tail_weights(model).values())
    assert proto.ByteSize() - narrowed.ByteSize() > saved * tail
    session = InferenceSession(narrowed.SerializeToString(), providers=["CPUExecutionProvider"])
    x = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(1))
    (answer,) = session.run(None, {"values": x.numpy()})
    expected = model(x).numpy()
    assert np.linalg.norm(answer - expected) / np.linalg.norm(expected) < bound


def test_int8_products_are_of_whole_numbers_and_others_stay(named: tuple[ModelProto, tuple[str, ...]]) -> None:
    proto, names = named
    before = Counter(node.op_type for node in proto.graph.node)
    after = Counter(node.op_type for node in narrow(copied(proto), names, "int8").graph.node)
    assert after["MatMulInteger"] == 4
    assert after["MatMul"] == before["MatMul"] - 4


def test_float32_stays_as_it_is_and_nothing_to_narrow_is_said(named: tuple[ModelProto, tuple[str, ...]]) -> None:
    proto, names = named
    assert narrow(proto, names, "float32") is proto
    with pytest.raises(InputError, match="--precision bf16: it is about the weights of one language block"):
        narrow(proto, (), "bf16")
    with pytest.raises(InputError, match="expected the weight o of the block's tail in the graph"):
        name_tail(proto, {"o": np.zeros((64, 64), np.float32)})


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_narrowed_file_leaves_the_graph_as_it_is_and_tells_its_size(
    precision: ExportPrecision, named: tuple[ModelProto, tuple[str, ...]], tmp_path: Path
) -> None:
    proto, names = named
    before = proto.SerializeToString(deterministic=True)
    file, megabytes = write_narrowed(proto, names, precision, tmp_path, {"name": "tiny"})
    assert proto.SerializeToString(deterministic=True) == before
    assert file == tmp_path / f"{precision}.onnx"
    assert megabytes == sum(path.stat().st_size for path in tmp_path.iterdir()) / 1e6
