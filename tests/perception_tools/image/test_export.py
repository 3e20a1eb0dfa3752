"""Classifiers of pictures in another runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception_datasets.images.open_pictures import open_pictures
from perception_nodes.exported.model_file import open_exported
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.run import export_run
from perception_tools.image.export import exportable
from perception_tools.image.model import load_classifier
from perception_tools.image.prediction import predict


@pytest.fixture(scope="module")
def exported(trained_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "classifier.onnx"
    assert len(export_run(trained_classifier, out)["parity"]) == 4
    return out


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_probabilities_are_those_of_the_trained_model(
    backend, exported: Path, trained_classifier: Path, pictures: Path
) -> None:
    pytest.importorskip(backend)
    trained, val = load_classifier(trained_classifier), open_pictures(pictures, "val")
    served = exportable(trained).serve(open_runtime(exported, backend))
    found, expected = predict(served, val), predict(trained.model, val)
    assert found.ids == expected.ids
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_the_file_names_the_classes_and_says_how_a_picture_is_shown(exported: Path) -> None:
    metadata = open_exported(exported).metadata
    assert metadata["classes"] == ["n01440764", "n01443537", "n01484850"]
    assert (metadata["picture"]["height"], metadata["picture"]["mean"][0]) == (32, 0.485)
    json.dumps(metadata)
