"""Models of pictures with texts in other runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception_nodes.exported.model_file import open_exported
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.parity import compare_outputs, complaints
from perception_tools.export.run import export_run
from perception_tools.image_text.export import exportable
from perception_tools.image_text.model import load_image_text


@pytest.fixture(scope="module", params=["answers", "ranks"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path, dict]:
    folder = {"answers": "questions_folder", "ranks": "captions_folder"}[request.param]
    run, data = request.getfixturevalue(f"trained_{request.param}"), request.getfixturevalue(folder)
    out = tmp_path_factory.mktemp("exported") / "pairs.onnx"
    return request.param, run, out, export_run(run, out, data=data, limit=6)


def test_pairs_are_judged_as_by_the_model(exported: tuple[str, Path, Path, dict]) -> None:
    kind, _, _, summary = exported
    assert {"one pair with a text of one word", "the longest text beside an empty one"} < {
        case["case"] for case in summary["parity"]
    }
    assert {case["output"] for case in summary["parity"]} == {"logits" if kind == "answers" else "scores"}
    assert summary["metrics"]["exported"] == pytest.approx(summary["metrics"]["trained"])


def test_openvino_computes_the_same(exported: tuple[str, Path, Path, dict]) -> None:
    pytest.importorskip("openvino")
    _, run, out, _ = exported
    found = exportable(load_image_text(run))
    assert complaints(compare_outputs(found, found.cases(), open_runtime(out, "openvino")), "float32") == []


def test_the_file_names_axes_and_answers(exported: tuple[str, Path, Path, dict]) -> None:
    import onnx

    kind, _, out, _ = exported
    file = open_exported(out)
    assert bool(file.metadata["answers"]) == (kind == "answers")
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in onnx.load(out, load_external_data=False).graph.input
    }
    assert shapes["images"] == ["batch", 3, 16, 16]
    assert shapes["texts_ids"] == shapes["texts_valid"] == ["batch", "words"]
