"""Training a forecaster: the job that `perception_tools.training.fit` does."""

from __future__ import annotations

from pathlib import Path

from torch.utils.data import DataLoader

from perception.errors import InputError
from perception.traffic.scenario import Scenario
from perception_datasets.errors import RecordError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_tools.commands.train import TrainingRun
from perception_tools.forecasting.data import training_loader, validation_loader
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.model import Training, save_model
from perception_tools.training.fit import Job
from perception_tools.training.sampler import SegmentSampler


def forecast_job(run: TrainingRun) -> Job:
    """Scenarios of both splits, and the forecaster of the recipe.

    Raises:
        InputError: A split cannot be used.
    """
    recipe = run.recipe
    train_folder = open_forecasting(run.data, run.split, limit=run.limit)
    val_folder = open_forecasting(run.data, run.val_split, limit=run.val_limit)
    scenario = first_readable(train_folder)
    task = ForecastTask(recipe, scenario.future_steps)
    segments = SegmentSampler(len(train_folder), recipe.batch_scenarios, recipe.seed)

    def loaders(rank: int, processes: int) -> tuple[DataLoader, DataLoader]:
        of_process = {"rank": rank, "processes": processes}
        return (
            training_loader(train_folder, recipe, **of_process, workers=run.workers),
            validation_loader(val_folder, recipe, **of_process),
        )

    def save(path: Path, steps: int) -> None:
        shape = scenario.history_steps, scenario.future_steps
        save_model(path, task.model, recipe, Training(run.name, scenario.source, len(train_folder), *shape, steps))

    return Job(
        task=task,
        epochs=recipe.passes * segments.segments_per_pass,
        batches=segments.batches,
        loaders=loaders,
        save=save,
        monitor="val/min_fde",
        mode="min",
        last_words=lambda: _failures(task, train_folder),
        next_command=f"perception evaluate {run.out} --data … --out …",
    )


def first_readable(folder: ScenarioFolder) -> Scenario:
    """The first scenario of a folder that can be read: it tells the data's shape.

    Raises:
        InputError: There is none.
    """
    failures: list[RecordError] = []
    for scenario in folder.read_all(lambda _, error: failures.append(error)):
        return scenario
    raise InputError(f"none of {len(folder)} scenarios could be read; the first: {failures[0] if failures else 'none'}")


def _failures(task: ForecastTask, folder: ScenarioFolder) -> str:
    """Scenarios that could not be used."""
    if not task.failures:
        return ""
    lines = [f"  {name}: {reason}" for name, reason in task.failures.items()]
    return "\n".join([f"{len(task.failures)} of {len(folder)} training scenarios could not be used:", *lines])
