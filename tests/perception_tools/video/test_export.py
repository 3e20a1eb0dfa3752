"""Recognisers of actions in other runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception.errors import InputError
from perception_nodes.exported.model_file import open_exported
from perception_nodes.exported.runtimes import open_runtime
from perception_tools.export.parity import compare_outputs, complaints
from perception_tools.export.run import export_run
from perception_tools.video.export import exportable, untrained
from perception_tools.video.model import load_recognizer


@pytest.fixture(scope="module")
def exported(trained_recognizer: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("exported") / "recognizer.onnx"
    return out, export_run(trained_recognizer, out, data=clips)


def test_clips_are_judged_as_by_the_model(exported: tuple[Path, dict]) -> None:
    _, summary = exported
    assert len(summary["parity"]) == 4
    assert summary["metrics"]["exported"] == summary["metrics"]["trained"]


def test_openvino_computes_the_same(exported: tuple[Path, dict], trained_recognizer: Path) -> None:
    pytest.importorskip("openvino")
    found = exportable(load_recognizer(trained_recognizer))
    runtime = open_runtime(exported[0], "openvino")
    assert complaints(compare_outputs(found, found.cases(), runtime), "float32") == []


def test_the_file_names_the_actions_and_says_how_a_clip_is_shown(exported: tuple[Path, dict]) -> None:
    metadata = open_exported(exported[0]).metadata
    assert len(metadata["classes"]) == 2
    assert (metadata["clip"]["images"], metadata["clip"]["size"]) == (4, 16)


def test_a_run_of_pre_training_has_nothing_to_export(pretrained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run that learned actions, got one of pre-training"):
        export_run(pretrained, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_transformers_model_of_the_same_size_stands_beside_it() -> None:
    pytest.importorskip("transformers")
    found = exportable(untrained("random:32x48x4?seed=0"))
    (peer,) = (make() for make in found.peers.values())
    assert peer(found.cases()["one clip"]).shape == (1, 174)
