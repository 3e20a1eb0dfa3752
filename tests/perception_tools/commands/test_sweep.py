"""The command line of sweeps, and a whole one: killed by force, gone on with, side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from perception.files import alone_in
from perception_tools.commands.sweep import read_sweep
from perception_tools.main import main

TINY = (
    "--heads 2 --source random:32x48x4?seed=0 --batch-scenarios 2 --targets-per-scenario 3 --warmup-steps 2 "
    "--passes 2 --validate-every 1 --accelerator cpu --score-limit 2"
)


def test_the_help_names_the_options_and_where_the_others_are(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["sweep", "--help"], ["sweep", "forecast/vectornet", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        shown = capsys.readouterr().out
        assert all(text in shown for text in ("--over", "--seeds", "--jobs", "perception train RECIPE --help"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "expected the name of a recipe first, got none; `perception train --help` lists them"),
        ("--over dim=8 forecast/vectornet", "expected the name of a recipe first, got --over"),
        ("forecast/vectornet --data in --out out --over dimm=8", "did you mean dim?"),
        (
            "forecast/vectornet --data in --out in/out",
            "in/out: expected a place for the results apart from the data in in, but it lies in that",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    words: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert main(["sweep", *words.split()]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("perception sweep: ")
    assert complaint in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize("options", ["--out out", "--data in --out out --sedes 3", "--data in --out out --dim x"])
def test_missing_and_unknown_options_exit_2(options: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["sweep", "forecast/vectornet", *options.split()])
    assert stop.value.code == 2
    assert "perception sweep forecast/vectornet" in capsys.readouterr().err


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch):
    """The same number of threads here and in every process, so that sums are bit-equal."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_sweep_that_is_killed_goes_on_and_side_by_side_equals_one_by_one(data: Path, tmp_path: Path) -> None:
    from perception_tools.analysis.sweep.worker import train_and_evaluate

    def words(folder: str) -> list[str]:
        options = f"--over dim=8,12,16 --seeds 0 --jobs 2 {TINY} --data {data} --out {tmp_path / folder}"
        return ["forecast/vectornet-llama", *options.split()]

    command = [sys.executable, "-m", "perception_tools.main", "sweep", *words("killed")]
    out = tmp_path / "killed"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweep:
        try:
            while not list(out.glob("evaluations/*/*/finished.json")):
                assert sweep.poll() is None
                time.sleep(0.02)
        finally:
            sweep.kill()
    with alone_in(out, "a test"):  # given only once the processes of its runs have ended too
        finished = {path: path.stat().st_mtime_ns for path in out.glob("evaluations/*/*/finished.json")}
    assert 1 <= len(finished) < 3
    assert main(["sweep", *words("killed"), "--json", str(tmp_path / "table.json")]) == 0
    assert all(path.stat().st_mtime_ns == written for path, written in finished.items())
    table = json.loads((tmp_path / "table.json").read_text())
    assert table == json.loads((out / "table.json").read_text())

    alone = read_sweep(words("alone"))
    assert {run.cell.name for run in alone.runs} == {cell["name"] for cell in table["cells"]}
    planned = alone.runs[-1]
    planned.log.parent.mkdir(parents=True)
    train_and_evaluate(alone, planned)
    metrics = alone.metrics(planned)
    assert metrics is not None
    cell = next(cell for cell in table["cells"] if cell["name"] == planned.cell.name)
    assert cell["metrics"]["k6/min_fde"]["values"][str(planned.seed)] == metrics["k6"]["min_fde"]
