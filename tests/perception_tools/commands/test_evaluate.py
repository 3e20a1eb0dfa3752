"""The command line of evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perception_tools.main import main


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks for, without doing it."""
    calls: dict[str, Any] = {}

    def remember(checkpoints: tuple[Path, ...], data: Path, out: Path, **options: Any) -> None:
        calls.update(checkpoints=checkpoints, data=data, out=out, **options)

    monkeypatch.setattr("perception_tools.forecasting.evaluate.evaluate_models", remember)
    return calls


def test_the_contracts_words_are_understood(asked: dict[str, Any]) -> None:
    assert main([*"evaluate runs/a --data in --split val --out out".split()]) == 0
    assert asked == {
        "checkpoints": (Path("runs/a"),), "data": Path("in"), "out": Path("out"), "split": "val",
        "limit": None, "data_name": None, "batch": 8, "device": "cpu",
    }  # fmt: skip


def test_several_checkpoints_are_put_side_by_side(asked: dict[str, Any]) -> None:
    assert main([*"evaluate a b c --data in --out out --limit 9 --batch 2 --data-name".split(), "AV1-mini"]) == 0
    assert asked["checkpoints"] == (Path("a"), Path("b"), Path("c"))
    assert (asked["limit"], asked["batch"], asked["data_name"]) == (9, 2, "AV1-mini")


def test_a_trained_run_is_evaluated(
    trained_run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["evaluate", str(trained_run), "--data", str(data), "--out", str(tmp_path / "out"), "--limit", "2"]) == 0
    )
    said = capsys.readouterr().out
    assert "2 scenarios of argoverse1 val, focal agents" in said
    assert f"{tmp_path / 'out' / 'report.html'}\n" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["metrics.json", "report.html"]
