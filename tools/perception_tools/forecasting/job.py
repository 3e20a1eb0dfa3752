"""Training a forecaster."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from perception.errors import InputError
from perception.heads.trajectory_proposals import ProposalDecoder
from perception.models.forecaster import Forecaster
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_tools.forecasting.data import check_apart, first_labelled, training_loader, validation_loader
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.model import Training, build_forecaster, save_model
from perception_tools.forecasting.run import ForecastRun
from perception_tools.shared_cache import open_cache
from perception_tools.training.job import Job
from perception_tools.training.sampler import SegmentSampler


def forecast_job(run: ForecastRun, model: Forecaster | None = None) -> Job:
    """Scenarios of both splits, and the forecaster of the recipe.

    Args:
        run: The run.
        model: To train in place of the recipe's.

    Raises:
        InputError: A split cannot be used.
    """
    recipe = run.recipe
    train_folder = open_forecasting(run.data, run.split, limit=run.limit)
    val_folder = open_forecasting(run.data, run.val_split, limit=run.val_limit)
    warning = check_apart(train_folder, val_folder)
    scenario = first_labelled(train_folder)
    trained = model or build_forecaster(recipe, scenario.future_steps)
    _set_regions(trained, train_folder, recipe.seed)
    task = ForecastTask(recipe, trained)
    segments = SegmentSampler(len(train_folder), recipe.batch_scenarios, recipe.seed)

    def loaders(rank: int, processes: int) -> tuple[DataLoader, DataLoader]:
        share = {"rank": rank, "processes": processes, "shape": scenario.shape, "cache": open_cache(run.cache_gb)}
        return (
            training_loader(train_folder, trained.input, recipe, **share, workers=run.workers, keep=run.keep),
            validation_loader(val_folder, trained.input, **share),
        )

    def save(path: Path, steps: int) -> None:
        training = Training(run.name, scenario.source, len(train_folder), *scenario.shape, steps)
        save_model(path, trained, recipe, training)

    if warning:
        print(warning, file=sys.stderr)
    return Job(
        task=task,
        segments=segments,
        loaders=loaders,
        save=save,
        monitor="val/min_fde",
        mode="min",
        closing_message=lambda: _failures(task, train_folder),
        next_command=f"perception evaluate {run.out} --data {run.data} --out …",
        name_of=lambda index: _used(train_folder.ids, index, task.failures),
    )


def _set_regions(model: Forecaster, folder: ScenarioFolder, seed: int) -> None:
    """Gives a head that is trained by region its regions: the same from the same data and seed, also in a resumed run.

    Raises:
        InputError: There are fewer true ends than regions.
    """
    head = model.head
    if not isinstance(head, ProposalDecoder) or head.regions == 1:
        return
    from perception_tools.forecasting.regions import end_points, fit_regions  # needs scipy

    ends = end_points(folder)
    if len(ends) < head.regions:
        raise InputError(
            f"proposals.regions: expected at least {head.regions} focal agents with a future in split {folder.split}, "
            f"one for each region, found {len(ends)}; give more scenarios or fewer regions"
        )
    regions = fit_regions(ends, head.regions, seed)
    head.set_regions(torch.from_numpy(regions.centers), torch.from_numpy(regions.weights))


def _used(ids: Sequence[str], index: int, failures: Mapping[str, str]) -> str:
    """Name of the scenario that was trained on: the one at an index, or the next one that can be used."""
    return next((name for name in (*ids[index:], *ids[:index]) if name not in failures), ids[index])


def _failures(task: ForecastTask, folder: ScenarioFolder) -> str:
    """Scenarios that could not be used."""
    if not task.failures:
        return ""
    lines = [f"  {name}: {reason}" for name, reason in task.failures.items()]
    return "\n".join([f"{len(task.failures)} of {len(folder)} training scenarios could not be used:", *lines])
