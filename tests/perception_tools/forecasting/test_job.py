"""The job of training a forecaster: what it reads, what it makes of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from perception.encoders.query_centric.network import QueryCentric
from perception.encoders.vectornet.input import VectorizedInput
from perception.errors import InputError
from perception_datasets.forecasting import open_forecasting
from perception_tools.forecasting.evaluate import evaluate_models
from perception_tools.forecasting.job import forecast_job
from perception_tools.forecasting.model import build_forecaster, load_model
from perception_tools.forecasting.recipes import ForecastRecipe, ProposalRecipe
from perception_tools.forecasting.run import ForecastRun
from perception_tools.model_metadata import MODEL_FILE
from perception_tools.training.fit import fit

TINY_BY_REGION = {
    "encoder": "mmtransformer",
    "view": "agent",
    "loss": "proposals",
    "modes": 8,
    "proposals": ProposalRecipe(regions=2, layers=1),
}


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


@pytest.mark.parametrize("first", ["damaged", "unlabelled"])
def test_the_first_scenario_that_can_be_learned_from_tells_the_lengths(
    first: str, make_run: Callable[..., ForecastRun], write_data: Callable[[Path], Path], tmp_path: Path
) -> None:
    run = replace(make_run(tmp_path / "out"), data=write_data(tmp_path / "argoverse1"))
    name, *others = open_forecasting(run.data, "train").ids
    path = run.data / "train" / "data" / f"{name}.csv"
    path.write_text("nonsense\n" if first == "damaged" else unlabelled(path.read_text()))
    job = forecast_job(run)
    job.save(tmp_path / MODEL_FILE, 0)
    training = load_model(tmp_path).training
    assert (training.history_steps, training.future_steps) == (20, 30)
    failed = {name for batch in job.loaders(0, 1)[0] for name in batch.failures}
    assert failed == {name}
    assert others


def unlabelled(text: str) -> str:
    """The rows of an Argoverse 1 scene that a test split would have."""
    header, *rows = text.splitlines()
    return "\n".join([header, *(row for row in rows if float(row.split(",")[0]) < 315968001.95)]) + "\n"


def test_a_folder_of_one_split_is_not_trained_and_validated_on(
    make_run: Callable[..., ForecastRun], data: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "out")
    with pytest.raises(InputError, match="expected scenarios of split 'val', found the folder of split 'train'"):
        forecast_job(replace(run, data=data / "train"))
    loose = Path(shutil.copytree(data / "train", tmp_path / "data" / "scenes"))
    shutil.copytree(data / "map_files", tmp_path / "data" / "map_files")
    with pytest.raises(InputError, match=r"expected different .* found the same files, such as .*1\.csv; put them"):
        forecast_job(replace(run, data=loose))
    with pytest.raises(InputError, match="splits 'train' and 'train': expected different scenarios"):
        forecast_job(replace(run, val_split="train"))


def test_scenarios_of_both_splits_are_counted(
    make_run: Callable[..., ForecastRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecast_job(make_run(tmp_path))
    assert "warning: 3 of 5 scenarios of split 'val' are in split 'train' too, such as 1" in capsys.readouterr().err


def test_a_given_model_is_trained_saved_and_shown_its_own_input(
    make_run: Callable[..., ForecastRun], tmp_path: Path, tiny_recipe: ForecastRecipe
) -> None:
    given = build_forecaster(replace(tiny_recipe, seed=9), 30)
    job = forecast_job(make_run(tmp_path), given)
    assert job.task.model is given
    job.save(tmp_path / MODEL_FILE, 0)
    assert torch.equal(load_file(tmp_path / MODEL_FILE)["head.mode"], given.head.get_parameter("mode"))
    given.input = VectorizedInput("scene", max_tokens=2)
    (batch, *_) = forecast_job(make_run(tmp_path), given).loaders(0, 1)[1]
    assert batch.neighbours.index.shape[-1] == 0, "a scene's view has no neighbours, the recipe's own has"


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_share_the_data(make_run: Callable[..., ForecastRun], tmp_path: Path, rank: int) -> None:
    training_data, _ = forecast_job(make_run(tmp_path)).loaders(rank, 2)
    assert training_data.batch_size == 1


def test_a_head_that_is_trained_by_region_gets_the_same_regions_each_time(
    make_run: Callable[..., ForecastRun], tmp_path: Path
) -> None:
    run = make_run(tmp_path, recipe=TINY_BY_REGION)
    models: list[Any] = [forecast_job(run).task.model for _ in range(2)]
    heads = [model.head for model in models]
    assert torch.equal(heads[0].region_centers, heads[1].region_centers)
    assert torch.equal(heads[0].region_weights, heads[1].region_weights)
    assert heads[0].region_centers.abs().sum() > 0
    with pytest.raises(InputError, match="expected at least 9 focal agents with a future in split train, one for each"):
        forecast_job(make_run(tmp_path, recipe=TINY_BY_REGION | {"modes": 9, "proposals": ProposalRecipe(regions=9)}))


def test_mm_transformer_is_trained_and_comes_back_from_its_file(
    make_run: Callable[..., ForecastRun], data: Path, tmp_path: Path
) -> None:
    fit(make_run(tmp_path, recipe=TINY_BY_REGION, accelerator="cpu"))
    trained = load_model(tmp_path)
    first: Any = forecast_job(make_run(tmp_path / "other", recipe=TINY_BY_REGION)).task.model
    assert torch.equal(trained.model.head.get_buffer("region_centers"), first.head.region_centers)
    scenario = open_forecasting(data, "val")[0]
    (forecast,) = trained.model.forecast([scenario], [np.array([scenario.focal])])
    assert forecast.trajectories.shape == (1, 6, 30, 2)


def test_the_query_centric_encoder_is_trained_evaluated_and_comes_back_from_its_file(
    make_run: Callable[..., ForecastRun], data: Path, tmp_path: Path
) -> None:
    fit(make_run(tmp_path / "run", recipe={"encoder": "query-centric", "max_tokens": 16}, accelerator="cpu"))
    trained, scenario = load_model(tmp_path / "run").model, open_forecasting(data, "val")[0]
    assert isinstance(trained.encoder, QueryCentric)
    (forecast,) = trained.forecast([scenario], [np.array([scenario.focal])])
    assert forecast.trajectories.shape == (1, 6, 30, 2)
    metrics = evaluate_models([tmp_path / "run"], data, tmp_path / "report")
    assert metrics["k6"]["min_fde"] > 0
