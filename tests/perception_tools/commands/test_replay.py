"""Which task replays a log; what a replay does is tested with the task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tyro.conf import Positional

from perception_tools.main import main


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command asks for, without doing it."""
    calls: list[dict[str, Any]] = []

    def remember(log: Positional[Path], checkpoint: Path, lockstep: bool = False) -> None:
        calls.append({"log": log, "checkpoint": checkpoint, "lockstep": lockstep})

    monkeypatch.setattr("perception_tools.forecasting.replay.replay", remember)
    return calls


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_the_run_says_which_node_a_log_is_played_through(asked: list, trained_run: Path, name: str) -> None:
    assert main(["replay", "log", "--checkpoint", str(trained_run / name), "--lockstep"]) == 0
    assert asked == [{"log": Path("log"), "checkpoint": trained_run / name, "lockstep": True}]


def test_a_run_of_a_task_without_a_replay_is_refused(
    asked: list, trained_answerer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = "a log cannot be replayed through a run of the task scene-qa; expected one of forecast, image"
    for words in (["--checkpoint", str(trained_answerer)], ["--node", "scene-qa"]):
        assert main(["replay", "log", *words]) == 2
        assert complaint in capsys.readouterr().err
    assert asked == []


def test_a_checkpoint_that_is_not_there_is_named(asked: list, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "log", "--checkpoint", "nowhere"]) == 2
    assert "nowhere: expected a run's folder or its model.safetensors, found none" in capsys.readouterr().err
    assert main(["replay", "log", "--node", "forcast"]) == 2
    assert "there is no node of kind 'forcast'" in capsys.readouterr().err
    assert asked == []


def test_help_needs_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["replay", "--help"])
    assert stop.value.code == 0
    assert "--checkpoint PATH" in capsys.readouterr().out
