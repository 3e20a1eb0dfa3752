"""Keeps the model file of a run up to date."""

from __future__ import annotations

import math

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from perception_tools.training.divergence import StopAtDivergence
from perception_tools.training.job import Job
from perception_tools.training.run_folder import RunFolder


class ExportModel(Callback):
    """Writes the model file at every validation, or with early stopping at every best one.

    It stands before `WeightAverage` in the list of callbacks, so that it sees the averaged weights.

    Args:
        folder: The run's folder.
        job: Writes the file, and names the metric of a validation that tells the best.
        watch: Refuses a validation whose metric is not finite.
        keep_best: Write only when that metric has improved.
    """

    def __init__(self, folder: RunFolder, job: Job, watch: StopAtDivergence, keep_best: bool) -> None:
        self.folder, self.job, self.watch, self.keep_best = folder, job, watch, keep_best
        self.best = float("inf")
        self.trained = False

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes, if there is something better to write."""
        score = float(trainer.callback_metrics[self.job.monitor])
        self.watch.check_score(trainer, score)
        score = score if self.job.mode == "min" else -score
        if not self.keep_best or score < self.best:
            self.best = min(score, self.best)
            self._write(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remembers that there was something to train: for a run that was finished before, nobody calls this."""
        self.trained = True

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the result; by then the averaged weights are the model's own.

        Where the best is kept, that is there already, unless training was too short for any validation.
        """
        if self.trained and (not self.keep_best or math.isinf(self.best)):
            self.watch.check_all(trainer, pl_module)
            self._write(trainer)

    @override
    def state_dict(self) -> dict:
        """State for the checkpoint."""
        return {"best": self.best}

    @override
    def load_state_dict(self, state_dict: dict) -> None:
        """Takes the checkpoint's state."""
        self.best = state_dict["best"]

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            self.job.save(self.folder.model, trainer.global_step)
