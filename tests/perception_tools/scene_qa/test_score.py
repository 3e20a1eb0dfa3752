"""The command line of the evaluation of answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perception_tools.main import main

WORDS = "evaluate scene-qa --questions q.json --annotations a.json --out out".split()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks for, without doing it."""
    calls: dict[str, Any] = {}

    def remember(questions: Path, annotations: Path, out: Path, **options: Any) -> None:
        calls.update(questions=questions, annotations=annotations, out=out, **options)

    monkeypatch.setattr("perception_tools.scene_qa.files.evaluate_files", remember)
    return calls


def test_the_contracts_words_are_understood(asked: dict[str, Any]) -> None:
    assert main([*WORDS, "--predictions", "p.json"]) == 0
    assert asked == {
        "questions": Path("q.json"), "annotations": Path("a.json"), "out": Path("out"),
        "predictions": (Path("p.json"),), "baseline": None, "answers": None, "data_name": None,
    }  # fmt: skip


def test_several_systems_a_baseline_and_a_dictionary_can_be_named(asked: dict[str, Any]) -> None:
    assert main([*WORDS, *"--predictions a --predictions b --baseline majority-per-type --answers d.json".split()]) == 0
    assert asked["predictions"] == (Path("a"), Path("b"))
    assert (asked["baseline"], asked["answers"]) == ("majority-per-type", Path("d.json"))


def test_a_users_mistake_is_said_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--baseline", "majority"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("perception evaluate scene-qa: q.json: no such file")
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()
