"""Training a forecaster."""

from __future__ import annotations

from pathlib import Path

from torch.utils.data import DataLoader

from perception.errors import InputError
from perception.models.forecaster import Forecaster
from perception.traffic.scenario import Scenario
from perception_datasets.errors import RecordError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_tools.forecasting.data import training_loader, validation_loader
from perception_tools.forecasting.learning import ForecastTask
from perception_tools.forecasting.model import Training, build_forecaster, save_model
from perception_tools.forecasting.run import ForecastRun
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
    scenario = first_readable(train_folder)
    trained = model or build_forecaster(recipe, scenario.future_steps)
    task = ForecastTask(recipe, trained)
    segments = SegmentSampler(len(train_folder), recipe.batch_scenarios, recipe.seed)

    def loaders(rank: int, processes: int) -> tuple[DataLoader, DataLoader]:
        share = {"rank": rank, "processes": processes}
        return (
            training_loader(train_folder, trained.input, recipe, **share, workers=run.workers, keep=run.keep),
            validation_loader(val_folder, trained.input, **share),
        )

    def save(path: Path, steps: int) -> None:
        shape = scenario.history_steps, scenario.future_steps
        save_model(path, trained, recipe, Training(run.name, scenario.source, len(train_folder), *shape, steps))

    return Job(
        task=task,
        epochs=recipe.passes * segments.segments_per_pass,
        batches=segments.batches,
        loaders=loaders,
        save=save,
        monitor="val/min_fde",
        mode="min",
        closing_message=lambda: _failures(task, train_folder),
        next_command=f"perception evaluate {run.out} --data {run.data} --out …",
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
