"""Stops a training that diverges, while the last good weights are on the disk and the cause can still be named."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from perception.errors import InputError, first_of
from perception_tools.training.job import Job
from perception_tools.training.lightning_task import LearningTask
from perception_tools.training.run_folder import WORK_FILES, RunFolder

LEAST_SCALE = 1.0
"""A loss that must be scaled further down before its gradient fits into float16 overflows by itself."""
NAMED_RECORDS = 16
"""How many records a message names."""


class DivergedError(InputError):
    """Training left the finite numbers. The message says when, on which records, and what to try."""


@dataclass(frozen=True)
class TakenStep:
    """A step whose numbers may still be on their way from the GPU.

    Attributes:
        segment: Lightning's epoch.
        number: Which optimiser step of the segment.
        numbers: Loss and, if there was an optimiser step, norm of the gradient.
        names: What each is, for the message.
    """

    segment: int
    number: int
    numbers: Tensor
    names: tuple[str, ...]


class StopAtDivergence(Callback):
    """Stops at the first loss, norm of the gradient or weight that is not finite, before anything is saved.

    On a GPU a step's numbers are looked at after the next one, so that the GPU never waits; and always before a
    validation or a checkpoint.

    Args:
        folder: Where the last good weights are.
        job: Names the records of a step.
        learning_rate: The recipe's, for the message.
    """

    def __init__(self, folder: RunFolder, job: Job, learning_rate: float) -> None:
        self.folder, self.job, self.learning_rate = folder, job, learning_rate
        self._taken: TakenStep | None = None

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at the step before, and where that costs nothing at this one."""
        self._look()
        numbers = {"loss": outputs["loss"]}
        if isinstance(pl_module, LearningTask) and pl_module.gradient_norm is not None:
            numbers["norm of the gradient"] = pl_module.gradient_norm
        if scaler_of(trainer) is not None:  # it leaves out steps whose gradient overflows, and scales the loss down
            numbers.pop("norm of the gradient", None)
        values = torch.stack([value.detach().float() for value in numbers.values()])
        number = batch_idx // trainer.accumulate_grad_batches
        self._taken = TakenStep(trainer.current_epoch, number, values, tuple(numbers))
        if values.device.type == "cpu":
            self._look()

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Checks all there is, so that no bad model is validated, averaged or saved."""
        self.check_all(trainer, pl_module)

    @override
    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict) -> None:
        """Checks all there is; a checkpoint that fails this is not written."""
        self.check_all(trainer, pl_module)

    def check_all(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Checks the last step, the weights, and the scale of the loss.

        Raises:
            DivergedError: Something is not finite.
        """
        self._look()
        where = f"after step {trainer.global_step}"
        if (name := not_finite(module)) is not None:
            self._stop(where, f"finite weights, found others in {name}")
        scaler = scaler_of(trainer)
        if scaler is not None and scaler.get_scale() < LEAST_SCALE:
            self._stop(where, f"a gradient that float16 can hold, found none at a scale of {scaler.get_scale():g}")

    def check_score(self, trainer: pl.Trainer, score: float) -> None:
        """Checks the number that validation gave.

        Raises:
            DivergedError: It is not finite.
        """
        if not math.isfinite(score):
            where = f"in the validation after step {trainer.global_step}"
            self._stop(where, f"a finite {self.job.monitor}, found {score}")

    def _look(self) -> None:
        taken, self._taken = self._taken, None
        if taken is None or bool(taken.numbers.isfinite().all()):
            return
        values = zip(taken.names, taken.numbers.tolist(), strict=True)
        found = " and ".join(f"a {name} of {value:g}" for name, value in values)
        names = self.job.records_of_step(taken.segment, taken.number)
        listed = first_of(names, NAMED_RECORDS)
        where = f"in step {taken.segment * self.job.batches + taken.number + 1}"
        self._stop(where + (f" on the records {listed}" if names else ""), f"finite numbers, found {found}")

    def _stop(self, where: str, expected_and_found: str) -> None:
        kept = [path.name for path in (self.folder.path / name for name in WORK_FILES) if path.exists()]
        saved = f"the last good weights are in {' and '.join(kept)}" if kept else "nothing was saved yet"
        raise DivergedError(
            f"{self.folder.path}: training diverged {where}: expected {expected_and_found}; {saved}; try a learning "
            f"rate below {self.learning_rate:g} in another --out, or look at what is special about the records"
        )


def not_finite(module: torch.nn.Module) -> str | None:
    """Name of the first trainable parameter that is not finite; None where all are."""
    trainable = {name: weight.detach() for name, weight in module.named_parameters() if weight.requires_grad}
    if not trainable:
        return None
    # A sum is finite only if all its terms are; one number for each parameter, and one look at all of them.
    finite = torch.stack([weight.isfinite().all() for weight in trainable.values()]).tolist()
    return next((name for name, good in zip(trainable, finite, strict=True) if not good), None)


def scaler_of(trainer: pl.Trainer) -> torch.amp.GradScaler | None:
    """What scales the loss in 16-bit mixed precision; None in any other."""
    return getattr(trainer.precision_plugin, "scaler", None)
