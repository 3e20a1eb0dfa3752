from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper
from safetensors import safe_open
from safetensors.torch import save_file

from perception.frozen.adapter import build_adapter
from perception.frozen.folded import fold
from perception.frozen.folded_file import save_folded
from perception_nodes.exported.model_file import FORMAT, KEY
from perception_nodes.operations.deployment import read_deployment
from perception_tools.deployment_files import file_findings
from perception_tools.model_metadata import MODEL_FILE


def found_in(folder: Path, text: str) -> list[str]:
    file = folder / "deployment.yaml"
    file.write_text(text)
    return list(file_findings(read_deployment(file)))


@pytest.fixture
def folded(tmp_path: Path) -> Path:
    """A folder with one pipeline, `forecast`."""
    torch.manual_seed(0)
    save_folded(fold(build_adapter(16, source="random:32x48x4").requires_grad_(False)), tmp_path / "folded", "forecast")
    return tmp_path / "folded"


def test_a_deployment_with_all_its_files_has_no_findings(trained_run: Path, folded: Path) -> None:
    node = f"{{kind: forecast, checkpoint: {trained_run}, block: forecast}}"
    assert found_in(folded.parent, f"service: {{folder: folded}}\nnodes: {{ego: {node}}}") == []
    file = trained_run / MODEL_FILE
    assert found_in(folded.parent, f"nodes: {{ego: {{kind: forecast, checkpoint: {file}}}}}") == []


def test_all_that_is_missing_is_found_at_once(trained_run: Path, folded: Path) -> None:
    text = f"""
service: {{folder: folded}}
nodes:
  lost: {{kind: forecast, checkpoint: nowhere}}
  wrong: {{kind: scene-qa, checkpoint: {trained_run}, scan: room.ply}}
  misled: {{kind: forecast, checkpoint: {trained_run}, block: forecats}}
"""
    lost, wrong, scan, misled = found_in(folded.parent, text)
    assert lost.startswith(f"node lost: {folded.parent / 'nowhere'}: expected a run's folder or its model.safetensors")
    assert "node wrong: " in wrong
    assert "expected a model of the format" in wrong
    assert wrong.endswith("for a node of kind scene-qa")
    assert "room.ply: expected a file of points (.ply, .pcd), found none" in scan
    assert misled == "node misled: expected the pipeline forecats in the service's folder, found forecast"


def test_a_file_that_is_no_model_is_found(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    (found,) = found_in(tmp_path, "nodes: {a: {kind: forecast, checkpoint: model.safetensors}}")
    assert "it cannot be parsed (SafetensorError" in found


def test_a_model_whose_block_is_gone_is_found(trained_run: Path, tmp_path: Path) -> None:
    with safe_open(trained_run / MODEL_FILE, "pt") as opened:
        metadata = opened.metadata()
        weights = {name: opened.get_tensor(name) for name in opened.keys()}
    source = "random:32x48x4?seed=0"
    assert source in metadata["recipe"]
    metadata["recipe"] = metadata["recipe"].replace(source, str(tmp_path / "block.safetensors"))
    save_file(weights, tmp_path / "model.safetensors", metadata)
    (found,) = found_in(tmp_path, "nodes: {a: {kind: forecast, checkpoint: model.safetensors}}")
    assert "block.safetensors: no such file or folder; expected a path, org/name" in found
    metadata["recipe"] = "["
    save_file(weights, tmp_path / "model.safetensors", metadata)
    (found,) = found_in(tmp_path, "nodes: {a: {kind: forecast, checkpoint: model.safetensors}}")
    assert "model.safetensors: it cannot be parsed" in found


def test_a_service_without_its_pipelines_or_their_block_is_found(folded: Path) -> None:
    folder = folded.parent
    (found,) = found_in(folder, "service: {folder: folded, pipelines: [forecast, other]}")
    assert f"{folded}: expected other, found forecast; write them with perception block fold" in found
    (found,) = found_in(folder, "service: {folder: nowhere}")
    assert "expected pipelines, found none" in found
    (tail,) = folded.glob("block-*")
    tail.rename(folder / "tail")
    (found,) = found_in(folder, "service: {folder: folded}")
    assert f"forecast.safetensors: expected its block beside it, {tail.name}, found none" in found
    shutil.copy(folder / "deployment.yaml", folded / "forecast.safetensors")
    (found,) = found_in(folder, "service: {folder: folded}")
    assert "forecast.safetensors: it cannot be parsed" in found


def write_exported(file: Path, task: str) -> None:
    """A graph that says that it was exported from a model of a task."""
    output = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])]
    node = helper.make_node("Constant", [], ["y"], value_floats=[1.0])
    model = helper.make_model(helper.make_graph([node], "tiny", [], output), ir_version=10)
    helper.set_model_props(model, {KEY: json.dumps({"format": FORMAT, "task": task, "name": f"{task}/tiny"})})
    file.write_bytes(model.SerializeToString())


def test_an_exported_file_is_to_be_of_the_nodes_task(tmp_path: Path) -> None:
    write_exported(tmp_path / "m.onnx", "image")
    text = """
nodes:
  eye: {kind: image, checkpoint: m.onnx, backend: onnxruntime}
  ego: {kind: forecast, checkpoint: m.onnx, backend: onnxruntime}
"""
    (found,) = found_in(tmp_path, text)
    assert found.startswith("node ego: ")
    assert found.endswith("m.onnx: expected a model for a node of kind forecast, got one of the task image")


def test_an_exported_file_is_not_enough_for_a_node_that_needs_pytorch(tmp_path: Path) -> None:
    write_exported(tmp_path / "m.onnx", "points")
    (found,) = found_in(tmp_path, "nodes: {lidar: {kind: points, checkpoint: m.onnx, backend: onnxruntime}}")
    assert "a node of kind points prepares what it sees with PyTorch, got an exported model; give the run" in found
