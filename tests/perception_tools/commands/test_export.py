"""`perception export`."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.export import run as exporting
from perception_tools.export.parity import ParityError
from perception_tools.main import main


def test_it_prints_files_and_parity(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {}

    def export(run: Path, out: Path, precision: str, **options) -> dict:
        asked.update(options, run=run, precision=precision)
        parity = [{"case": "one agent", "output": "logits", "relative": 2e-7, "largest": 1e-6}]
        numbers = {"trained": {"min_fde": 1.25}, "exported": {"min_fde": 1.5}}
        return {"files": {out.name: 2_500_000}, "parity": parity, "metrics": numbers}

    monkeypatch.setattr(exporting, "export_run", export)
    assert main(["export", str(trained_run), str(tmp_path / "m.onnx"), "--precision", "int8", "--check"]) == 0
    printed = capsys.readouterr().out
    for text in ("m.onnx  2.5 MB", "parity: at most 2.0e-07", "one agent, logits: 2.0e-07", "exported: min_fde 1.5000"):
        assert text in printed
    assert (asked["precision"], asked["check"], asked["run"]) == ("int8", True, trained_run)


def test_it_fails_with_a_sentence_where_answers_differ(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def export(*_, **__) -> dict:
        raise ParityError("m.onnx: its answers are not the model's")

    monkeypatch.setattr(exporting, "export_run", export)
    assert main(["export", str(trained_run), str(tmp_path / "m.onnx"), "--check"]) == 1
    assert "its answers are not the model's" in capsys.readouterr().err


def test_the_run_itself_is_not_written_over(trained_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(trained_run), str(trained_run / "model.safetensors")]) == 2
    assert "model.safetensors" in capsys.readouterr().err
