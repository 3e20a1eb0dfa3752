"""What a training run is told beside its recipe. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from perception.files import url_of
from perception_tools.output_places import keep_apart
from perception_tools.training.bounds import Count, Index, check_bounds
from perception_tools.training.recipes import LearningRecipe

RUN_FILE = "run.json"
"""What `TrainingRun.describe` gives, in the run's folder."""


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A recipe, the data to train it on, and how.

    Attributes:
        data: Folder of the data set, or a prepared store.
        out: The run's folder. An unfinished run of the same recipe that is there is continued.
        recipe: All numbers, each with an option of its own.
        name: Name of the recipe.
        split: Split to train on.
        val_split: Split to validate on.
        limit: Train on this many of the first records only.
        val_limit: Validate on this many of the first records only.
        workers: Number of processes that read and collate data. With 0 the training process does, which is fastest
            where all data fits in memory.
        keep: Number of records that each reading process keeps in memory; the others are read again in every pass.
        devices: Number of processes that train, each on a GPU of its own or on the CPU; under torchrun, on each host.
        nodes: Number of hosts, under torchrun.
        accelerator: Lightning's name: auto, cpu, gpu.
        logger: Where numbers are logged: tensorboard, csv, wandb, mlflow, …; several are allowed.
        compile: Compile the block with torch.compile; it is compiled anew for each new shape of its input.
        restart: Replace the run that is in `out`. Only files that training wrote are deleted, once the new run begins.
    """

    data: Path
    out: Path
    recipe: tyro.conf.OmitArgPrefixes[LearningRecipe]
    name: tyro.conf.Suppress[str]
    split: str = "train"
    val_split: str = "val"
    limit: Count | None = None
    val_limit: Count | None = None
    workers: Index = 0
    keep: Index = 50_000
    devices: Count = 1
    nodes: Count = 1
    accelerator: str = "auto"
    logger: tuple[str, ...] = ("tensorboard",)
    compile: bool = False
    restart: bool = False

    def check(self) -> None:
        """Checks all numbers and places before anything is read or written.

        Raises:
            InputError: One cannot be used.
        """
        self.recipe.check()
        check_bounds(self)
        keep_apart([self.out], [self.data])

    def describe(self) -> dict:
        """What makes it this run and no other, as run.json holds it."""
        return {
            "name": self.name,
            "recipe": self.recipe.to_json(),
            "data": url_of(self.data) or str(self.data.resolve()),
            "limit": self.limit,
        }
