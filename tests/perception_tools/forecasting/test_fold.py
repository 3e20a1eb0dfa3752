from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.frozen.folded_file import load_folded
from perception_tools.forecasting.evaluate import evaluate_models
from perception_tools.forecasting.model import load_model
from perception_tools.main import main


def test_every_precision_is_held_against_the_model_on_real_tokens_and_the_metric(
    trained_run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "folded"
    assert main(["block", "fold", str(trained_run), str(out), "--data", str(data)]) == 0
    rows = {row["precision"]: row for row in json.loads((out / "precisions.json").read_text())["precisions"]}
    assert rows.keys() == {"unfolded", "float32", "bfloat16", "int8", "int8_dynamic"}
    assert rows["unfolded"]["relative_error"] == 0
    exact, *narrow = (rows[name]["relative_error"] for name in ("float32", "bfloat16", "int8", "int8_dynamic"))
    assert exact < 1e-6 < min(narrow), "how the narrow ones compare depends on the processor's products"
    assert max(narrow) < 0.1
    assert rows["float32"]["min_fde"] == pytest.approx(rows["unfolded"]["min_fde"], abs=1e-4)
    metrics = evaluate_models([trained_run], data, tmp_path / "evaluated")
    assert rows["unfolded"]["min_fde"] == pytest.approx(metrics["k6"]["min_fde"], abs=1e-4)
    assert "int8_dynamic" in capsys.readouterr().out


def test_files_alone_are_written_without_data_and_belong_to_the_model(trained_run: Path, tmp_path: Path):
    assert main(["block", "fold", str(trained_run), str(tmp_path / "out"), "--precisions", "int8"]) == 0
    (path,) = [p for p in (tmp_path / "out" / "int8").iterdir() if not p.name.startswith("block-")]
    adapter = load_model(trained_run).model.block
    assert load_folded(path).attention.project_in.in_features == adapter.project_in.in_features
    assert not (tmp_path / "out" / "precisions.json").exists()


def test_a_model_without_a_block_has_nothing_to_fold(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    trained = load_model(trained_run)
    monkeypatch.setattr(trained.model.block, "source", None)
    monkeypatch.setattr("perception_tools.forecasting.fold.load_model", lambda _: trained)
    assert main(["block", "fold", str(trained_run), str(tmp_path)]) == 2
    assert "nothing to fold" in capsys.readouterr().err
