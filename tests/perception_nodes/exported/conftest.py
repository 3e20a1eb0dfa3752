"""A tiny exported model, written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perception_nodes.exported.model_file import FORMAT, KEY

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def write_model() -> Callable[..., Path]:
    """Writes y = x · WEIGHT; `location` puts the weight into a file of that name."""

    def write(path: Path, metadata: dict | None = None, location: str | None = None, offset: int = 0) -> Path:
        weight = numpy_helper.from_array(WEIGHT, "weight")
        if location is not None:
            weight.ClearField("raw_data")
            weight.data_location = TensorProto.EXTERNAL
            places = {"location": location, "offset": str(offset), "length": str(WEIGHT.nbytes)}
            for key, value in places.items():
                entry = weight.external_data.add()
                entry.key, entry.value = key, value
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "weight"], ["y"])],
            "tiny",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3])],
            [weight],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        entry = model.metadata_props.add()
        entry.key, entry.value = KEY, json.dumps({"format": FORMAT, "name": "tiny"} if metadata is None else metadata)
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture
def hide_in_subgraph() -> Callable[[Path, str], None]:
    """Adds a branch to a model, whose constant lies in a file of a name."""

    def hide(path: Path, location: str) -> None:
        model = onnx.load(path)
        tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location
        constant = helper.make_node("Constant", [], ["c"])
        constant.attribute.append(helper.make_attribute("value", tensor))
        inside = helper.make_graph(
            [constant], "inside", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])]
        )
        yes = numpy_helper.from_array(np.array(True), "yes")
        model.graph.initializer.append(yes)
        model.graph.node.append(helper.make_node("If", ["yes"], ["z"], then_branch=inside, else_branch=inside))
        path.write_bytes(model.SerializeToString())

    return hide
