"""Which model a run leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.run import ForecastRun
from perception_tools.training.fit import fit
from perception_tools.training.run_folder import RESUME_FILE

MakeRun = Callable[..., ForecastRun]


def test_early_stopping_keeps_the_best(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [3.0, 1.0, 2.0, 1.5, 0.1]

    def scripted(self: ForecastTask, _batch: object, _batch_idx: int) -> None:
        self.log("val/min_fde", torch.tensor(scores[self.current_epoch]), batch_size=1)

    monkeypatch.setattr(ForecastTask, "validation_step", scripted)
    fit(make_run(tmp_path, {"passes": 5, "patience": 2}))
    assert torch.load(tmp_path / RESUME_FILE, weights_only=True)["global_step"] == 16, (
        "it stops two validations after the best"
    )
    assert load_model(tmp_path).training.steps == 8


def test_an_early_stop_is_an_end(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ForecastTask, "validation_step", lambda self, *_: self.log("val/min_fde", 1.0, batch_size=1))
    fit(make_run(tmp_path, {"passes": 9, "patience": 1}, logger=()))
    before = (tmp_path / RESUME_FILE).read_bytes()
    capsys.readouterr()
    fit(make_run(tmp_path, {"passes": 9, "patience": 1}, logger=()))
    assert (tmp_path / RESUME_FILE).read_bytes() == before
    assert "training is finished already" in capsys.readouterr().out


def test_a_training_too_short_for_any_validation_leaves_its_last_model(make_run: MakeRun, tmp_path: Path) -> None:
    fit(make_run(tmp_path, {"passes": 2, "patience": 2, "validate_every": 100}, logger=()))
    assert load_model(tmp_path).training.steps == 8
