from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from perception_tools.analysis.sweep import worker
from perception_tools.analysis.sweep.jobs import progress_file
from perception_tools.analysis.sweep.worker import is_first_process, main, train_and_evaluate

if TYPE_CHECKING:
    from perception_tools.analysis.sweep.plan import Sweep

MakeSweep = Callable[..., "Sweep"]


def test_a_run_is_trained_and_evaluated_and_what_is_done_is_not_done_again(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep("--over dim=8 --seeds 1 --score-limit 2")
    (planned,) = sweep.runs
    planned.log.parent.mkdir(parents=True)
    train_and_evaluate(sweep, planned)
    metrics = sweep.metrics(planned)
    assert metrics is not None
    assert metrics["scenarios"] == 2
    assert 0 < float(progress_file(planned).read_text()) <= 1

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it is trained already")

    monkeypatch.setattr(worker, "fit", refuse)
    wider = make_sweep("--over dim=8 --seeds 1 --split train --score-limit 3")
    train_and_evaluate(wider, wider.runs[0])
    metrics = wider.metrics(wider.runs[0])
    assert metrics is not None
    assert (metrics["split"], metrics["scenarios"]) == ("train", 3)
    again = make_sweep("--over dim=8 --seeds 1 --restart")
    with pytest.raises(AssertionError, match="trained already"):
        train_and_evaluate(again, again.runs[0])


def test_further_processes_of_a_run_do_not_evaluate_it(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = make_sweep()
    monkeypatch.setattr(worker, "fit", lambda *_, **__: sweep.options.out)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_process()
    train_and_evaluate(sweep, sweep.runs[0])
    assert not sweep.options.out.exists()


def test_a_mistake_in_the_input_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "exit_with_parent", lambda: None)
    words = ["forecast/vectornet", "--data", f"{tmp_path}/no", "--out", f"{tmp_path}/out", "--seeds", "0"]
    assert main(["vectornet", "0", *words]) == 2
    assert capsys.readouterr().err.startswith(f"perception sweep: {tmp_path}/no: expected a folder")
