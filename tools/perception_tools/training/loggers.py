"""Where a run's numbers go: TensorBoard, CSV, W&B or any other logger of Lightning, by its name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import loggers
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard.summary import hparams

from perception.errors import InputError

SETTINGS: dict[str, dict[str, Any]] = {
    "TensorBoardLogger": {"name": "", "version": "", "default_hp_metric": False},  # straight into the run's folder
    "CSVLogger": {"name": "csv"},  # a resumed run writes csv/version_1, since the logger overwrites what it finds
}
"""Arguments by class; all other loggers get the run's folder and its name where they take them."""


def open_logger(name: str, run: Path) -> Logger:
    """A logger for a run.

    Args:
        name: Lightning's class name, or its first part in small letters: `tensorboard`, `csv`, `wandb`, `mlflow`.
        run: The run's folder.

    Raises:
        InputError: Lightning has no such logger, or the package behind it is not installed.
    """
    kinds = {kind.removesuffix("Logger").lower(): kind for kind in loggers.__all__ if kind != "Logger"}
    word = name.lower().removesuffix("logger")
    if word not in kinds:
        near = get_close_matches(word, kinds, 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of them"
        raise InputError(f"logger: expected one of {', '.join(sorted(kinds))}, got {name!r}; {hint}")
    kind = getattr(loggers, kinds[word])
    offered = {"save_dir": str(run), "root_dir": str(run), "name": run.name, "run_name": run.name}
    offered |= SETTINGS.get(kinds[word], {})
    taken = inspect.signature(kind.__init__).parameters
    try:
        return kind(**{key: value for key, value in offered.items() if key in taken})
    except ModuleNotFoundError as error:
        raise InputError(f"logger {name}: expected the package behind it, got: {error}") from error


@rank_zero_only
def log_recipe(logger: Logger, recipe: dict[str, Any], monitor: str) -> None:
    """Logs a run's recipe as hyperparameters; in TensorBoard also as a text, and in its table of runs.

    Args:
        logger: From `open_logger`.
        recipe: Nested plain values (`LearningRecipe.to_json`).
        monitor: Name of the number by which runs are compared.
    """
    flat = dict(_flat(recipe))
    logger.log_hyperparams(flat)
    if isinstance(logger, TensorBoardLogger):
        writer = logger.experiment
        for summary in hparams(flat, {monitor: 0.0}):  # of the metrics it takes the names only
            writer.file_writer.add_summary(summary)  # pyright: ignore[reportOptionalMemberAccess]
        text = yaml.safe_dump(recipe, sort_keys=False)
        writer.add_text("recipe", f"```yaml\n{text}```")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str | float]]:
    """Nested values by their path, `block/kind`."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value if isinstance(value, str | float | int) else str(value)
