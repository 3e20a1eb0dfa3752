"""Scene answerers in other runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception_nodes.exported.model_file import open_exported
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.parity import compare_outputs, complaints
from perception_tools.export.run import export_run
from perception_tools.scene_qa.export import exportable
from perception_tools.scene_qa.model import load_answerer


@pytest.fixture(scope="module")
def exported(trained_answerer: Path, rooms_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("exported") / "answerer.onnx"
    return out, export_run(trained_answerer, out, data=rooms_store, split="test", limit=1)


def test_scenes_and_questions_of_any_size_are_answered_as_by_the_model(exported: tuple[Path, dict]) -> None:
    _, summary = exported
    assert {"an empty question", "a scene of one point", "three questions about two scenes"} < {
        case["case"] for case in summary["parity"]
    }
    assert {"logits", "evidence", "viewpoint_position"} < {case["output"] for case in summary["parity"]}
    assert summary["metrics"]["exported"] == summary["metrics"]["trained"]


def test_openvino_computes_the_same(exported: tuple[Path, dict], trained_answerer: Path) -> None:
    pytest.importorskip("openvino")
    found = exportable(load_answerer(trained_answerer))
    runtime = open_runtime(exported[0], "openvino")
    assert complaints(compare_outputs(found, found.cases(), runtime), "float32") == []


def test_the_file_names_axes_answers_and_words(exported: tuple[Path, dict]) -> None:
    import onnx

    file = open_exported(exported[0])
    assert file.metadata["answers"]
    assert file.metadata["words"]["rule"] == "plain"
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in onnx.load(file.path, load_external_data=False).graph.input
    }
    assert shapes["points"] == ["scenes", "points", 3]
    assert shapes["neighbours"][0] == "scenes"
    assert shapes["situation_ids"] == ["questions", "situation_words"]
    assert shapes["question_valid"] == ["questions", "question_words"]
    assert shapes["scene_of_question"] == ["questions"]
