"""Damaged exported models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from perception_nodes.exported.model_file import FORMAT, KEY, open_exported


def _open(folder: Path) -> None:
    open_exported(folder / "model.onnx")


def test_a_damaged_exported_model_is_read_or_refused(fuzz: Callable[..., None], tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "weight")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "block.weights", "offset": "0", "length": "16"}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "weight"], ["y"])], "g", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps({"format": FORMAT, "name": "tiny"})
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "block.weights").write_bytes(bytes(16))
    fuzz(_open, folder)
