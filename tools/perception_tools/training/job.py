"""What one kind of training brings to the shared loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
from torch.utils.data import DataLoader


@dataclass(frozen=True)
class Job:
    """A task's part of a training run.

    Attributes:
        task: Model, loss and metrics as a Lightning module.
        epochs: Number of Lightning's epochs, which are segments of the passes over the data.
        batches: Number of optimiser steps in each epoch.
        loaders: Function from a process's rank and the number of processes to its training and validation data.
        save: Function that writes the model file, given its path and the number of optimiser steps so far.
        monitor: Name of the validation metric that says whether a model is better.
        mode: Whether less or more of it is better.
        closing_message: Function that gives what to say about the data at the end; empty where nothing is to be said.
        next_command: Command to run on the model next.
        records_of_step: Function from an epoch and one of its steps to the names of the records in that, over all
            processes.
        has_unused_parameters: Whether some steps use only part of the model, which processes must then agree about.
    """

    task: pl.LightningModule
    epochs: int
    batches: int
    loaders: Callable[[int, int], tuple[DataLoader, DataLoader]]
    save: Callable[[Path, int], None]
    monitor: str
    mode: Literal["min", "max"]
    closing_message: Callable[[], str]
    next_command: str
    records_of_step: Callable[[int, int], Sequence[str]]
    has_unused_parameters: bool = False
