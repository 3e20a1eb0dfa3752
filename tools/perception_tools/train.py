"""`perception train RECIPE --data DIR --out DIR`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from perception_tools.recipes import DESCRIPTIONS, RECIPES, ForecastRecipe


@dataclass(frozen=True)
class TrainingRun:
    """What to train on, and where to put it.

    Attributes:
        data: A raw Argoverse 1 or 2 folder, sensor logs, synthetic scenarios, or a prepared store.
        out: The run's folder. If it holds an unfinished run of the same recipe, that run goes on.
        recipe: Every number, each with an option of its own.
        name: Of the recipe.
        split: Which split to train on.
        val_split: Which split to validate on.
        limit: Train on the first so many scenarios only.
        val_limit: Validate on the first so many only.
        workers: Processes that read data. With 0 the training process reads, which is fastest where all fits in memory.
        devices: Processes that train, each on a GPU of its own or on the CPU. Under torchrun: on each host.
        nodes: Hosts, under torchrun.
        accelerator: Lightning's name: auto, cpu, gpu.
        restart: Forget the run that is in `out`.
    """

    data: Path
    out: Path
    recipe: tyro.conf.OmitArgPrefixes[ForecastRecipe]
    name: tyro.conf.Suppress[str]
    split: str = "train"
    val_split: str = "val"
    limit: int | None = None
    val_limit: int | None = None
    workers: int = 0
    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    restart: bool = False


CHOICES = tyro.extras.subcommand_type_from_defaults(
    {
        name: TrainingRun(data=tyro.MISSING, out=tyro.MISSING, recipe=recipe, name=name)
        for name, recipe in RECIPES.items()
    },
    descriptions=DESCRIPTIONS,
    prefix_names=False,
)


def train(run: tyro.conf.OmitArgPrefixes[CHOICES]) -> None:  # pyright: ignore[reportInvalidTypeForm]
    """Trains a recipe; run the same command again after a stop and it goes on where it was.

    Writes to OUT: model.safetensors (the averaged weights, at every validation), run.json, last.ckpt (for resuming)
    and TensorBoard events.
    """
    from perception_tools.training import fit

    fit(run)
