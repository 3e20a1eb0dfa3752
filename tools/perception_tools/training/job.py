"""What one kind of training brings to the shared loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader

from perception_tools.training.lightning_task import LearningTask
from perception_tools.training.sampler import SegmentSampler


@dataclass(frozen=True)
class Job:
    """A task's part of a training run.

    Attributes:
        task: Model, loss and metrics as a Lightning module.
        segments: Order of the training data.
        loaders: Function from a process's rank and the number of processes to its training and validation data, such as
            `perception_tools.training.loaders.SharedLoaders`.
        save: Function that writes the model file, given its path and the number of optimiser steps so far.
        monitor: Name of the validation metric that says whether a model is better.
        mode: Whether less or more of it is better.
        closing_message: Function that gives what to say about the data at the end; empty where nothing is to be said.
        next_command: Command to run on the model next.
        name_of: Function from the index of a training record to its name.
        has_unused_parameters: Whether some steps use only part of the model, which processes must then agree about.
    """

    task: LearningTask[Any, Any]
    segments: SegmentSampler
    loaders: Callable[[int, int], tuple[DataLoader, DataLoader]]
    save: Callable[[Path, int], None]
    monitor: str
    mode: Literal["min", "max"]
    closing_message: Callable[[], str]
    next_command: str
    name_of: Callable[[int], str]
    has_unused_parameters: bool = False

    @property
    def epochs(self) -> int:
        """Number of Lightning's epochs, which are segments of the passes over the data."""
        return self.task.recipe.passes * self.segments.segments_per_pass

    @property
    def batches(self) -> int:
        """Number of optimiser steps in each epoch."""
        return self.segments.batches

    def records_of_step(self, epoch: int, step: int) -> list[str]:
        """Names of the records in a step of an epoch, over all processes, each once."""
        return list(dict.fromkeys(map(self.name_of, self.segments.indices_of(epoch, step))))
