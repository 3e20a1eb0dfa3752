"""Classifiers of pictures in another runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from perception.images.image import Picture
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


def test_a_camera_node_with_another_runtime_answers_without_pytorch(
    exported: Path, trained_classifier: Path, pictures: Path, tmp_path: Path
) -> None:
    config = tmp_path / "deployment.yaml"
    config.write_text(f"nodes: {{eye: {{kind: image, checkpoint: {exported}, backend: onnxruntime, top: 3}}}}")
    trained, val = load_classifier(trained_classifier), open_pictures(pictures, "val")
    pixels = val.decode(val[0]).pixels
    np.save(tmp_path / "pixels.npy", pixels)
    program = """
import json, sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import perception_tools.commands.node
from perception_nodes.operations.deployment import read_deployment
from perception_tools.image.node import configured_node

(plan,) = read_deployment(Path(sys.argv[1])).nodes_of("image").values()
node = configured_node(plan, None, ExitStack())
node.activate()
found = node.classify(np.load(sys.argv[2]))
heavy = {"torch", "lightning", "perception_datasets", "matplotlib"} & {name.split(".")[0] for name in sys.modules}
scores = dict(zip(found.names, map(float, found.scores)))
print(json.dumps({"scores": scores, "model_id": node.model_id, "imported": sorted(heavy)}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(config), str(tmp_path / "pixels.npy")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["imported"], told["model_id"]) == ([], open_exported(exported).model_id)
    (expected,) = trained.model.classify([Picture("picture", pixels)])
    assert [told["scores"][name] for name in trained.classes] == pytest.approx(expected.tolist(), abs=1e-5)
