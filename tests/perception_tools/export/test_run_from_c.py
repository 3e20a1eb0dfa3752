"""An exported file without Python: tools/examples/exported_model.c gives it a recorded scene."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from perception.traffic.scenario import Scenario
from perception_datasets.forecasting import open_forecasting
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.forecasting.export import served
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.scored import asked_agents
from perception_tools.forecasting.split import Split, trained_shape

PROGRAM = Path(__file__).resolve().parents[3] / "tools" / "examples" / "exported_model.c"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, linked with the library of Python's package, whose name lacks what a linker looks for."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("c")
    runtime = pytest.importorskip("onnxruntime")
    libraries = [*Path(runtime.__file__).parent.glob("capi/libonnxruntime.so.*")]
    if not libraries:
        pytest.skip("onnxruntime's package holds no library to link with here")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(libraries[0])
    header, out = Path(__file__).parent, folder / "exported_model"
    words = [compiler, "-Wall", "-Wextra", "-Werror", PROGRAM, "-I", header, "-L", folder, "-lonnxruntime", "-o", out]
    subprocess.run(words, check=True)
    return out


def run(program: Path, model: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(program.parent)}
    return subprocess.run([program, model, folder], env=environment, capture_output=True, text=True, check=False)


def recorded_scene(trained_run: Path, data: Path) -> Scenario:
    scenes = Split(open_forecasting(data, "val", limit=1), trained_shape([load_model(trained_run)]))
    ((scenario,),) = scenes.batches(1)
    return scenario


def test_a_c_program_reads_the_metadata_and_gets_the_nodes_answer(
    compiled: Path, exported_forecaster: tuple[Path, dict], trained_run: Path, data: Path, tmp_path: Path
) -> None:
    path, _ = exported_forecaster
    trained, runtime = load_model(trained_run), open_runtime(path, "onnxruntime")
    scenario = recorded_scene(trained_run, data)
    asked = asked_agents(scenario)
    arrays = trained.model.input.arrays([trained.model.prepare(scenario)], [asked])  # pyright: ignore[reportAttributeAccessIssue]
    for name in runtime.inputs:
        np.save(tmp_path / f"{name}.npy", arrays[name])
    done = run(compiled, path, tmp_path)
    assert done.returncode == 0, done.stderr
    metadata = json.loads(done.stdout)
    assert metadata["model_id"] == runtime.file.model_id
    assert "metres" in metadata["outputs"]["trajectories"]
    found = {name: np.load(tmp_path / f"{name}.npy") for name in metadata["outputs"]}
    for name, expected in runtime.run(arrays).items():
        np.testing.assert_allclose(found[name], expected, atol=1e-5)
    (forecast,) = served(runtime, trained).forecast([scenario], [asked])
    # steps are as long in the agent's frame as in the city's
    ends = np.linalg.norm(np.diff(found["trajectories"][0], axis=-2), axis=-1)
    expected_ends = np.linalg.norm(np.diff(forecast.trajectories, axis=-2), axis=-1)
    np.testing.assert_allclose(ends, expected_ends, atol=1e-4)


def test_it_says_what_is_wrong(compiled: Path, exported_forecaster: tuple[Path, dict], tmp_path: Path) -> None:
    done = run(compiled, exported_forecaster[0], tmp_path)
    assert (done.returncode, "expected an input of the model" in done.stderr) == (1, True)
    done = run(compiled, tmp_path / "none.onnx", tmp_path)
    assert done.returncode == 1
    assert "none.onnx" in done.stderr
    name = open_runtime(exported_forecaster[0], "onnxruntime").inputs[0]
    (tmp_path / f"{name}.npy").write_bytes(b"no numbers")
    assert "expected .npy" in run(compiled, exported_forecaster[0], tmp_path).stderr
