"""Processes around one block share the memory of its weights."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from perception_nodes.exported.model_file import FORMAT, KEY

WIDTH = 3072
MEGABYTES = 4 * WIDTH**2 / 2**20
"""36: much more than what else differs between two processes."""
PROGRAM = """
import sys
from pathlib import Path

import numpy as np

from perception_nodes.exported.runtimes import open_runtime

runtime = open_runtime(Path(sys.argv[1]), "onnxruntime", share_weights=sys.argv[2] == "True")
runtime.run({"x": np.ones((8, int(sys.argv[3])), np.float32)})
print("computed", flush=True)
sys.stdin.readline()  # until all have
pages = dict(line.split()[:2] for line in open("/proc/self/smaps_rollup").read().splitlines()[1:])
print(int(pages["Pss:"]) / 1024, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Two models y = x · W + own, whose W is in one file."""
    np.random.default_rng(0).standard_normal((WIDTH, WIDTH), np.float32).tofile(tmp_path / "block.weights")
    paths = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for own, path in enumerate(paths):
        weight = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH], data_location="EXTERNAL")
        for key, value in (("location", "block.weights"), ("offset", "0"), ("length", str(4 * WIDTH**2))):
            entry = weight.external_data.add()
            entry.key, entry.value = key, value
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "W"], ["h"]), helper.make_node("Add", ["h", "own"], ["y"])],
            "tiny",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", WIDTH])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", WIDTH])],
            [weight, helper.make_tensor("own", TensorProto.FLOAT, [1], [float(own)])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        entry = model.metadata_props.add()
        entry.key, entry.value = KEY, f'{{"format": "{FORMAT}", "name": "tiny"}}'
        path.write_bytes(model.SerializeToString())
    return paths


def proportional_megabytes(models: list[Path], share: bool) -> float:
    """Memory of a process a model, in which each page counts once, whoever shares it."""
    words = [sys.executable, "-c", PROGRAM]
    processes = [
        subprocess.Popen(
            [*words, str(model), str(share), str(WIDTH)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for model in models
    ]
    try:
        answers: list[Callable[[], str]] = [p.stdout.readline for p in processes if p.stdout is not None]
        assert [read() for read in answers] == ["computed\n"] * len(models)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return sum(float(read()) for read in answers)
    finally:
        for process in processes:
            process.communicate("\n")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system does not tell shared memory")
def test_two_processes_have_one_copy_of_a_blocks_weights_where_they_are_to_share_them(models: list[Path]) -> None:
    shared, packed = (proportional_megabytes(models, share) for share in (True, False))
    assert packed - shared > 0.7 * MEGABYTES
