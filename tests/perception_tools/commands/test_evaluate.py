"""The command line of evaluation: the runs say of which task they are, and the task which options there are."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from perception_tools.main import main
from perception_tools.tasks import all_tasks


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks for, without doing it."""
    calls: dict[str, Any] = {}

    def remember(runs: tuple[Path, ...], data: Path, out: Path, **options: Any) -> None:
        calls.update(runs=runs, data=data, out=out, **options)

    monkeypatch.setattr("perception_tools.forecasting.evaluate.evaluate_models", remember)
    return calls


def test_the_contracts_words_are_understood(asked: dict[str, Any], trained_run: Path) -> None:
    assert main(["evaluate", str(trained_run), *"--data in --split val --out out".split()]) == 0
    assert asked == {
        "runs": (trained_run,), "data": Path("in"), "out": Path("out"), "split": "val",
        "limit": None, "history_steps": None, "horizon_steps": None, "data_name": None, "batch": 8, "device": "cpu",
        "cache_gb": 4.0, "worst": 0, "mirrored": False, "ensemble": False,
    }  # fmt: skip


def test_several_runs_are_put_side_by_side(asked: dict[str, Any], trained_run: Path, tmp_path: Path) -> None:
    runs = (trained_run, trained_run / "model.safetensors", copytree(trained_run, tmp_path / "other"))
    words = [*map(str, runs), *"--data in --out out --limit 9 --batch 2 --data-name".split(), "AV1-mini"]
    assert main(["evaluate", *words]) == 0
    assert asked["runs"] == runs
    assert (asked["limit"], asked["batch"], asked["data_name"]) == (9, 2, "AV1-mini")


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_runs_may_come_after_the_options(asked: dict[str, Any], trained_run: Path, name: str) -> None:
    assert main(["evaluate", *"--data in --out out".split(), str(trained_run / name)]) == 0
    assert asked["runs"] == (trained_run / name,)


def test_runs_of_two_tasks_are_not_evaluated_together(
    trained_run: Path, trained_answerer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(trained_run), str(trained_answerer), "--data", "in", "--out", str(tmp_path / "out")]
    assert main(["evaluate", *words]) == 2
    complaint = f"{trained_answerer}: it is of the task scene-qa, {trained_run} of forecast; evaluate each task"
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_without_a_run_names_the_tasks_and_with_one_shows_its_options(
    trained_answerer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--help"]) == 0
    shown = capsys.readouterr().out
    for task in all_tasks():
        assert f"  {task.name:<12} {task.title}: {', '.join(task.monitored)}" in shown
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(trained_answerer), "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "--viewer" in shown
    assert "--batch" not in shown


def test_without_a_run_nothing_is_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--data", "in", "--out", "out"]) == 2
    assert "expected at least one run, got none; give the folder that" in capsys.readouterr().err


def test_a_run_named_twice_is_not_compared_with_itself(trained_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = trained_run / ".." / trained_run.name
    assert main(["evaluate", str(trained_run), str(again), "--data", "in", "--out", "out"]) == 2
    assert f"{again}: expected different runs, found it twice; name each once" in capsys.readouterr().err


def test_a_folder_without_a_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path), "--data", "in", "--out", "out"]) == 2
    assert f"{tmp_path}: expected a run's folder or its model.safetensors, found none" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused_for_every_task(
    trained_run: Path, trained_answerer: Path, data: Path, rooms_store: Path, tmp_path: Path, capsys
) -> None:
    for run, where in ((trained_run, data), (trained_answerer, rooms_store)):
        words = f"evaluate {run} --data {where} --out {tmp_path / 'out'} --device cuda:99"
        assert main(words.split()) == 2
        assert "perception evaluate: --device cuda:99: expected a device that this machine" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_trained_run_is_evaluated(
    trained_run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, given = tmp_path / "out", tmp_path / "given.json"
    words = f"--data {data} --out {out} --limit 2 --json {given}"
    assert main(["evaluate", str(trained_run), *words.split()]) == 0
    said = capsys.readouterr().out
    assert "2 scenarios of argoverse1 val, focal agents" in said
    assert f"{out / 'report.html'}\n" in said
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "records.parquet", "report.html"]
    assert json.loads(given.read_text()) == json.loads((out / "metrics.json").read_text())


def test_scores_that_cannot_be_written_are_shown(
    trained_run: Path, trained_answerer: Path, data: Path, rooms_store: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "file").write_text("")
    for run, where, shown in ((trained_run, data, "constant velocity  "), (trained_answerer, rooms_store, "majority ")):
        out = tmp_path / "file" / "out"
        assert main(["evaluate", str(run), "--data", str(where), "--out", str(out), "--limit", "2"]) == 2
        said, err = capsys.readouterr()
        assert f"\n{shown}" in said
        assert "metrics.json: cannot be written (Not a directory" in err


def test_what_json_cannot_take_is_shown(
    trained_run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"evaluate {trained_run} --data {data} --out {tmp_path / 'out'} --limit 2 --json {tmp_path}"
    assert main(words.split()) == 2
    said, err = capsys.readouterr()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert json.loads(said[said.index("{") :]) == metrics
    assert f"{tmp_path}: cannot be written (Is a directory" in err
