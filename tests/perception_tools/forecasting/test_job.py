"""The job of training a forecaster: what it reads, what it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from perception.encoders.vectornet.input import VectorizedInput
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.job import first_readable, forecast_job
from perception_tools.forecasting.model import build_forecaster, load_model
from perception_tools.forecasting.recipes import ForecastRecipe
from perception_tools.forecasting.run import ForecastRun
from perception_tools.model_files import MODEL_FILE


def test_a_job_knows_its_epochs_its_model_and_its_number(make_run: Callable[..., ForecastRun], tmp_path: Path) -> None:
    job = forecast_job(make_run(tmp_path))
    assert (job.epochs, job.batches, job.monitor, job.mode) == (3, 4, "val/min_fde", "min")
    job.save(tmp_path / "model.safetensors", 5)
    training = load_model(tmp_path).training
    assert (training.steps, training.scenarios, training.source) == (5, 8, "argoverse1")
    assert job.closing_message() == ""
    assert job.next_command.startswith(f"perception evaluate {tmp_path} --data ")
    assert not job.has_unused_parameters
    training_data, validation_data = job.loaders(0, 1)
    assert (len(training_data), len(validation_data)) == (4, 1)


def test_the_first_scenario_that_can_be_read_tells_the_shape(
    write_data: Callable[[Path], Path], tmp_path: Path
) -> None:
    data = write_data(tmp_path / "argoverse1")
    names = open_forecasting(data, "train").ids
    (data / "train" / "data" / f"{names[0]}.csv").write_text("nonsense\n")
    assert first_readable(open_forecasting(data, "train")).id == names[1]


def test_a_given_model_is_trained_saved_and_shown_its_own_input(
    make_run: Callable[..., ForecastRun], tmp_path: Path, tiny_recipe: ForecastRecipe
) -> None:
    given = build_forecaster(replace(tiny_recipe, seed=9), 30)
    job = forecast_job(make_run(tmp_path), given)
    assert job.task.model is given
    job.save(tmp_path / MODEL_FILE, 0)
    assert torch.equal(load_file(tmp_path / MODEL_FILE)["head.mode"], given.head.mode)
    given.input = VectorizedInput("scene", max_tokens=2)
    (batch, *_) = forecast_job(make_run(tmp_path), given).loaders(0, 1)[1]
    assert batch.neighbours.index.shape[-1] == 0, "a scene's view has no neighbours, the recipe's own has"


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_share_the_data(make_run: Callable[..., ForecastRun], tmp_path: Path, rank: int) -> None:
    training_data, _ = forecast_job(make_run(tmp_path)).loaders(rank, 2)
    assert training_data.batch_size == 1
