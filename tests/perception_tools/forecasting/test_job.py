"""The job of training a forecaster: what it reads, what it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.job import first_readable, forecast_job
from perception_tools.forecasting.model import load_model
from perception_tools.forecasting.run import ForecastRun


def test_a_job_knows_its_epochs_its_model_and_its_number(make_run: Callable[..., ForecastRun], tmp_path: Path) -> None:
    job = forecast_job(make_run(tmp_path))
    assert (job.epochs, job.batches, job.monitor, job.mode) == (3, 4, "val/min_fde", "min")
    job.save(tmp_path / "model.safetensors", 5)
    training = load_model(tmp_path).training
    assert (training.steps, training.scenarios, training.source) == (5, 8, "argoverse1")
    assert job.last_words() == ""
    training_data, validation_data = job.loaders(0, 1)
    assert (len(training_data), len(validation_data)) == (4, 1)


def test_the_first_scenario_that_can_be_read_tells_the_shape(
    write_data: Callable[[Path], Path], tmp_path: Path
) -> None:
    data = write_data(tmp_path / "argoverse1")
    names = open_forecasting(data, "train").ids
    (data / "train" / "data" / f"{names[0]}.csv").write_text("nonsense\n")
    assert first_readable(open_forecasting(data, "train")).id == names[1]


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_share_the_data(make_run: Callable[..., ForecastRun], tmp_path: Path, rank: int) -> None:
    training_data, _ = forecast_job(make_run(tmp_path)).loaders(rank, 2)
    assert training_data.batch_size == 1
