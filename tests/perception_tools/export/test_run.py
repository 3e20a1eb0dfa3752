"""From a trained run to a checked file."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from perception.errors import InputError
from perception_nodes.exported.model_file import open_exported
from perception_tools.export import parity
from perception_tools.export.run import export_run


def test_the_answers_are_the_models_for_every_size(exported_forecaster: tuple[Path, dict]) -> None:
    _, summary = exported_forecaster
    cases = {of["case"] for of in summary["parity"]}
    assert len(cases) == 5
    assert "no lanes" in cases
    assert max(of["relative"] for of in summary["parity"]) < 1e-5


def test_the_file_says_what_it_is_and_holds_standard_operators_alone(
    exported_forecaster: tuple[Path, dict],
) -> None:
    path, summary = exported_forecaster
    file = open_exported(path)
    assert (file.metadata["task"], file.name) == ("forecast", "forecast/vectornet-llama")
    assert file.metadata["graph"] == summary["graph"]
    assert file.metadata["blocks"]
    assert "metres" in file.metadata["outputs"]["trajectories"]
    assert {node.domain for node in onnx.load(path, load_external_data=False).graph.node} <= {"", "ai.onnx"}
    assert {name: size for name, size in summary["files"].items() if name.startswith("block-")}
    assert [weights.name for weights in file.weights] == [name for name in summary["files"] if name != path.name]


@pytest.mark.usefixtures("traced_before")
def test_data_compares_the_tasks_numbers(trained_run: Path, data: Path, tmp_path: Path) -> None:
    numbers = export_run(trained_run, tmp_path / "m.onnx", check=False, data=data)["metrics"]
    assert numbers["exported"] == pytest.approx(numbers["trained"], abs=1e-4)


@pytest.mark.usefixtures("traced_before")
def test_nothing_is_written_where_answers_differ(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "BOUNDS", {"float32": 0.0})
    with pytest.raises(InputError, match=r"its answers are not the model's: .* differs by .*; nothing was written"):
        export_run(trained_run, tmp_path / "out" / "m.onnx")
    assert [*(tmp_path / "out").iterdir()] == []


@pytest.mark.usefixtures("traced_before")
def test_nothing_is_written_where_the_tasks_numbers_differ(
    trained_run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "METRIC_BOUND", -1.0)
    with pytest.raises(InputError, match=r"its answers are not the model's: .* is .*, the model's .*; nothing was"):
        export_run(trained_run, tmp_path / "out" / "m.onnx", data=data, limit=2)
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_model_without_a_block_has_nothing_to_narrow(run_without_block: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--precision int8: .* which this model does not have"):
        export_run(run_without_block, tmp_path / "m.onnx", "int8")
    assert not (tmp_path / "m.onnx").exists()


def test_names_end_in_onnx(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a name that ends in \.onnx"):
        export_run(trained_run, tmp_path / "model.pt")
