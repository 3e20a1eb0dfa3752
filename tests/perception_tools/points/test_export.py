"""Classifiers of clouds in other runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception_datasets.clouds.open_clouds import open_clouds
from perception_nodes.exported.model_file import open_exported
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.parity import compare_outputs, complaints
from perception_tools.export.run import export_run
from perception_tools.points.export import exportable, untrained
from perception_tools.points.model import load_classifier
from perception_tools.points.prediction import predict

OTHERWISE_TIED = "points on a lattice, many equally far"
"""OpenVINO chooses others among neighbours that are equally far."""


@pytest.fixture(scope="module")
def exported(trained_points: Path, clouds: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("exported") / "classifier.onnx"
    return out, export_run(trained_points, out, data=clouds, split="test")


def test_any_number_of_points_is_computed_as_by_the_model(exported: tuple[Path, dict]) -> None:
    _, summary = exported
    assert {"two clouds of one point", "all points at one place", OTHERWISE_TIED} < {
        c["case"] for c in summary["parity"]
    }
    assert summary["metrics"]["exported"] == summary["metrics"]["trained"]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_probabilities_are_those_of_the_trained_model(
    backend, exported: tuple[Path, dict], trained_points: Path, clouds: Path
) -> None:
    pytest.importorskip(backend)
    trained, test = load_classifier(trained_points), open_clouds(clouds, "test")
    found = exportable(trained)
    runtime = open_runtime(exported[0], backend)
    cases = {name: batch for name, batch in found.cases().items() if backend != "openvino" or name != OTHERWISE_TIED}
    assert complaints(compare_outputs(found, cases, runtime), "float32") == []
    given, expected = predict(found.serve(runtime), test), predict(trained.model, test)
    np.testing.assert_allclose(given.probabilities, expected.probabilities, atol=1e-5)


def test_the_file_names_axes_classes_and_scaling(exported: tuple[Path, dict]) -> None:
    import onnx

    file = open_exported(exported[0])
    assert file.metadata["classes"] == ["ball", "plate", "stick"]
    assert file.metadata["cloud"] == {"points": 32, "scaling": "unit-sphere"}
    (points,) = onnx.load(file.path, load_external_data=False).graph.input
    assert [dim.dim_param or dim.dim_value for dim in points.type.tensor_type.shape.dim] == ["clouds", "points", 3]
    assert file.weights


def test_the_usual_pytorch_of_the_same_size_stands_beside_it() -> None:
    found = exportable(untrained("random:32x48x4?seed=0"))
    (peer,) = (make() for make in found.peers.values())
    assert peer(found.cases()["one cloud"]).shape == (1, 40)
