"""Runtimes behind one call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_nodes.exported.runtimes import Backend, open_runtime

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)
"""Of the model that `write_model` writes."""


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest) -> Backend:
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_outputs_come_by_name_for_any_number_of_rows(
    rows: int, backend: Backend, write_model: Callable[..., Path], tmp_path: Path
) -> None:
    runtime = open_runtime(write_model(tmp_path / "model.onnx"), backend)
    x = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    answer = runtime.run({"x": x, "not read": x})
    assert (runtime.inputs, runtime.backend, [*answer]) == (("x",), backend, ["y"])
    np.testing.assert_allclose(answer["y"], x @ WEIGHT, rtol=1e-6)


def test_an_answer_is_not_changed_by_the_next(
    backend: Backend, write_model: Callable[..., Path], tmp_path: Path
) -> None:
    runtime = open_runtime(write_model(tmp_path / "model.onnx"), backend)
    first = runtime.run({"x": np.ones((1, 2), np.float32)})["y"]
    kept = first.copy()
    runtime.run({"x": np.zeros((1, 2), np.float32)})
    np.testing.assert_array_equal(first, kept)


def test_weights_beside_the_model_are_read(backend: Backend, write_model: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "block.weights").write_bytes(bytes(4096) + WEIGHT.tobytes())
    runtime = open_runtime(write_model(tmp_path / "model.onnx", location="block.weights", offset=4096), backend)
    np.testing.assert_allclose(runtime.run({"x": np.eye(2, dtype=np.float32)})["y"], WEIGHT)


def test_what_cannot_be_used_is_said(backend: Backend, write_model: Callable[..., Path], tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx")
    with pytest.raises(InputError, match="its graph reads x"):
        open_runtime(path, backend).run({})
    with pytest.raises(InputError, match=r"provider NONESUCH: .* name one"):
        open_runtime(path, backend, provider="NONESUCH")
    if backend == "openvino":
        with pytest.raises(InputError, match="share_weights: OpenVINO packs weights anew"):
            open_runtime(path, backend, share_weights=True)
    with pytest.raises(InputError, match="threads 0: expected at least 1"):
        open_runtime(path, backend, threads=0)


def test_a_model_that_no_runtime_can_open_is_a_sentence(
    backend: Backend, write_model: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_model(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes().replace(b"MatMul", b"MutMul"))
    with pytest.raises(InputError, match=r"model\.onnx: the runtime cannot open it: .*; export the model again"):
        open_runtime(path, backend)


def test_backends_have_names(write_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="backend tensorrt: expected one of onnxruntime, openvino"):
        open_runtime(write_model(tmp_path / "model.onnx"), "tensorrt")  # pyright: ignore[reportArgumentType]
