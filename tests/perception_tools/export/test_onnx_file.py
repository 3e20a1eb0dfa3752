"""Files of graphs, and the weights that they share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from perception_nodes.exported.model_file import open_exported
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.onnx_file import PAGE_BYTES, graph_hash, write_onnx

WEIGHT = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)


def make(own: float, weight: np.ndarray = WEIGHT, operator: str = "Add") -> ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "tail.o"], ["h"]),
        helper.make_node("MatMul", ["h", "tail.up"], ["g"]),
        helper.make_node(operator, ["g", "own"], ["y"]),
    ]
    tensors = {"tail.o": weight, "tail.up": weight + 1, "own": np.full(40, own, np.float32)}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 40])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 40])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_two_models_around_a_block_share_its_file(tmp_path: Path) -> None:
    first = write_onnx(make(1.0), tmp_path / "first.onnx", {"name": "first"})
    second = write_onnx(make(2.0), tmp_path / "second.onnx", {"name": "second"})
    assert first[0] == second[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([first[0].name, "first.onnx", "second.onnx"])
    x = np.eye(40, dtype=np.float32)
    for own, path in ((1.0, first[-1]), (2.0, second[-1])):
        assert open_exported(path).weights == (first[0],)
        answer = open_runtime(path, "onnxruntime").run({"x": x})["y"]
        np.testing.assert_allclose(answer, WEIGHT @ (WEIGHT + 1) + own, rtol=1e-4, atol=1e-4)
    other = write_onnx(make(1.0, WEIGHT + 1), tmp_path / "other.onnx", {})
    assert other[0] != first[0]


def test_shared_tensors_begin_at_a_page(tmp_path: Path) -> None:
    write_onnx(make(1.0), tmp_path / "model.onnx", {})
    tensors = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph.initializer
    offsets = [{e.key: e.value for e in t.external_data}.get("offset") for t in tensors if t.name.startswith("tail.")]
    assert all(int(offset or 0) % PAGE_BYTES == 0 for offset in offsets)
    assert len(set(offsets)) == 2


def test_a_graphs_hash_is_of_its_structure() -> None:
    assert graph_hash(make(1.0)) == graph_hash(make(2.0, WEIGHT + 3))
    assert graph_hash(make(1.0)) != graph_hash(make(1.0, operator="Mul"))
    assert graph_hash(make(1.0)) != graph_hash(make(1.0, np.zeros((40, 41), np.float32)))
    renamed = make(1.0)
    for node in renamed.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = {"h": "hidden"}.get(name, name)
    assert graph_hash(renamed) == graph_hash(make(1.0))
