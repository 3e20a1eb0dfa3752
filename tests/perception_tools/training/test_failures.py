"""What a user can change is said in a sentence, whatever of a training run fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.run import ForecastRun
from perception_tools.training.fit import fit
from perception_tools.training.run_folder import FINISHED_FILE

MakeRun = Callable[..., ForecastRun]


def test_a_reading_process_complains_in_a_sentence_too(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise InputError("7.csv: expected a scenario, found none; make it again")

    monkeypatch.setattr("perception_tools.forecasting.data.TrainingScenarios.__getitem__", read)
    with pytest.raises(InputError, match=r"^7\.csv: expected a scenario, found none; make it again$"):
        fit(make_run(tmp_path, {"passes": 1}, workers=1))


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("tensorboard.summary.writer.record_writer.RecordWriter", "write"),
        ("lightning.pytorch.loggers.csv_logs.ExperimentWriter", "save"),
    ],
)
def test_a_disk_that_fills_up_under_a_logger_is_said_in_a_sentence(
    kind: str, method: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"{kind}.{method}", fail)
    with pytest.raises(InputError, match=r"run: cannot be written \(No space left on device\); free some space"):
        fit(make_run(tmp_path / "run", {"passes": 1}, logger=("tensorboard", "csv")))
    assert not (tmp_path / "run" / FINISHED_FILE).exists()


def test_other_errors_of_the_system_are_not_taken_for_a_full_disk(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere")

    monkeypatch.setattr(ForecastTask, "training_step", fail)
    with pytest.raises(FileNotFoundError):
        fit(make_run(tmp_path, {"passes": 1}, logger=()))


def test_a_place_that_is_a_file_is_said_in_a_sentence(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in ("file", "file/run"):
        with pytest.raises(InputError, match=f"{out}: cannot be written .*; choose another path"):
            fit(make_run(tmp_path / out, {"passes": 1}))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "csv").write_text("")
    with pytest.raises(InputError, match=r"run: cannot be written .*csv"):
        fit(make_run(tmp_path / "run", {"passes": 1}, logger=("csv",)))


def test_too_little_memory_is_said_in_a_sentence(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ForecastTask, "training_step", lambda *_: torch.empty(2**60))
    with pytest.raises(InputError, match=r"need more memory than there is \(can't allocate memory: .*make the model"):
        fit(make_run(tmp_path, {"passes": 1}, logger=()))
