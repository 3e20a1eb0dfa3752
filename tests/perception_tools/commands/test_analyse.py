"""The command line of analyses: which runs can be looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from perception_tools.main import main


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["analyse", "filtering", *words, "--data", "in", "--out", "out"]) == 2
    return capsys.readouterr().err


def test_runs_are_of_one_task_and_each_is_named_once(
    trained_run: Path, trained_answerer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "it is of the task scene-qa" in said([str(trained_run), str(trained_answerer)], capsys)
    assert "found it twice" in said([str(trained_run), "--beside", str(trained_run)], capsys)
    assert "expected at least one run" in said([], capsys)


def test_a_task_that_cannot_be_looked_at_says_which_can(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from perception_tools import tasks
    from perception_tools.commands import analyse

    blind = replace(tasks.task_of_run(trained_run), token_views=None)
    monkeypatch.setattr(analyse, "task_of_run", lambda _run: blind)
    assert "expected a run of a task that can be looked at (" in said([str(trained_run)], capsys)


def test_data_and_results_are_kept_apart(trained_run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["analyse", "filtering", str(trained_run), "--data", str(data), "--out", str(data / "val")]
    assert main(words) == 2
    assert "apart from the data" in capsys.readouterr().err
    assert main([*words[:-1], "out", "--pictures", "-1"]) == 2
    assert "expected 0 or more" in capsys.readouterr().err
