"""Graphs of models that take a dataclass of tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from jaxtyping import Float, Int
from onnx import ModelProto
from onnxruntime import InferenceSession
from torch import Tensor, nn

from perception.batches import TensorRecord
from perception.errors import InputError
from perception_tools.export.graph import GraphSource, trace

SCRIPT = Path(__file__).with_name("make_golden_graph.py")
GOLDEN = SCRIPT.with_name("golden_graph.json")
RENEW = f"the graph has changed; if that is meant, run python {SCRIPT}, and perception bench onnx to see what it costs"


@dataclass(frozen=True)
class Batch(TensorRecord):
    values: Float[Tensor, "scenes tokens 3"]
    rows: Int[Tensor, "scenes rows"]
    labels: Int[Tensor, " scenes"]
    name: str = "of a batch"


@dataclass(frozen=True)
class Answer:
    read: Tensor
    mean: Tensor


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, batch: Batch) -> Answer:
        tokens = self.linear(batch.values)
        return Answer(tokens.gather(1, batch.rows.unsqueeze(-1).expand(-1, -1, 4)), tokens.mean(1))


def make(scenes: int, tokens: int, rows: int) -> Batch:
    generator = torch.Generator().manual_seed(scenes)
    values = torch.randn(scenes, tokens, 3, generator=generator)
    return Batch(values, torch.randint(tokens, (scenes, rows), generator=generator), torch.zeros(scenes).long())


@pytest.fixture(scope="module")
def source() -> GraphSource:
    torch.manual_seed(0)
    return GraphSource(Model().eval(), lambda model, batch: model(batch))


@pytest.fixture(scope="module")
def proto(source: GraphSource) -> ModelProto:
    return trace(source, make(2, 5, 3))


def test_inputs_are_what_the_model_reads_with_the_names_of_their_axes(proto: ModelProto) -> None:
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes["values"] == ["scenes", "tokens", 3]
    assert shapes["rows"] == ["scenes", "rows"]
    assert shapes["mean"] == ["scenes", 4]
    assert "labels" not in shapes


@pytest.mark.parametrize(("scenes", "tokens", "rows"), [(1, 1, 1), (3, 2, 7)])
def test_it_computes_batches_of_any_size(
    scenes: int, tokens: int, rows: int, source: GraphSource, proto: ModelProto
) -> None:
    session = InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    batch = make(scenes, tokens, rows)
    read, mean = session.run(["read", "mean"], {"values": batch.values.numpy(), "rows": batch.rows.numpy()})
    expected = source.answer(batch)
    torch.testing.assert_close(torch.from_numpy(read), expected["read"])
    torch.testing.assert_close(torch.from_numpy(mean), expected["mean"])


def test_axes_of_a_fixed_length_are_not_open(source: GraphSource) -> None:
    proto = trace(replace(source, fixed_axes={"tokens": 5}), make(2, 5, 3))
    (values, _) = proto.graph.input
    assert [dim.dim_param or dim.dim_value for dim in values.type.tensor_type.shape.dim] == ["scenes", 5, 3]


def test_a_tensor_alone_has_the_names_that_it_is_given() -> None:
    source = GraphSource(nn.Linear(3, 2).eval(), lambda model, x: model(x), input_name="images", output_name="classes")
    proto = trace(source, torch.randn(2, 3))
    assert [value.name for value in (*proto.graph.input, *proto.graph.output)] == ["images", "classes"]


def test_a_model_that_cannot_be_traced_is_a_sentence() -> None:
    source = GraphSource(nn.Identity(), lambda _, x: x[: int(x.sum().item())])
    with pytest.raises(InputError, match="export: expected a model that can be traced, Identity cannot be: "):
        trace(source, torch.ones(3))


def test_the_graph_of_a_tiny_forecaster_is_as_it_was() -> None:
    """What changes here changes the file of every forecaster; speed and parity must be looked at again."""
    spec = spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    golden, exporters = json.loads(GOLDEN.read_text()), script.exporters()
    if exporters != golden["exporters"]:
        pytest.skip(f"the golden graph was written by {golden['exporters']}, here are {exporters}")
    found = script.described(script.tiny_graph())
    assert found["operators"] == golden["operators"], RENEW
    assert found["hash"] == golden["hash"], RENEW
