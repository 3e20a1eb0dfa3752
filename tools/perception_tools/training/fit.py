"""A training run in its folder: started, or continued, under Lightning's Trainer. The same for every task."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from typing_extensions import override

from perception.errors import InputError
from perception.processes import stopped_by_sigterm
from perception_tools.tasks import task_of_recipe
from perception_tools.training.checkpoints import WholeCheckpoints
from perception_tools.training.divergence import StopAtDivergence
from perception_tools.training.export import ExportModel
from perception_tools.training.failures import in_plain_words
from perception_tools.training.job import Job
from perception_tools.training.lightning_task import LearningTask
from perception_tools.training.loggers import log_recipe, open_logger
from perception_tools.training.processes import exit_with_launcher
from perception_tools.training.run import TrainingRun
from perception_tools.training.run_folder import RESUME_FILE, RunFolder
from perception_tools.training.stopping import StopOnSigterm
from perception_tools.training.waiting import ShareOfWaiting
from perception_tools.training.weight_average import WeightAverage


def fit(run: TrainingRun, model: Any = None, callbacks: Sequence[Callback] = ()) -> Path:
    """Trains until the recipe's passes are done, or no progress is made.

    Args:
        run: The run.
        model: To train in place of the recipe's; of the class that the task trains.
        callbacks: Lightning's, beside those that every run has.

    Returns:
        The model file.

    Raises:
        InputError: Something in the run cannot be used, the folder holds another run or one that is at work, a file
            cannot be written, or training diverged (`DivergedError`).
        KeyboardInterrupt: It was stopped, by Ctrl-C or SIGTERM.
    """
    run.check()
    folder = RunFolder(run)
    folder.check()
    if folder.is_finished():
        return _say_finished(folder)
    exit_with_launcher()
    with in_plain_words(run.out):
        job = task_of_recipe(run.name).make_job(run, model)
        in_main_thread = threading.current_thread() is threading.main_thread()
        with folder.held(), stopped_by_sigterm() if in_main_thread else nullcontext():
            folder.check()
            if folder.is_finished():  # by a process that had the folder until now
                return _say_finished(folder)
            return _fit(folder, job, callbacks)


def _fit(folder: RunFolder, job: Job, callbacks: Sequence[Callback]) -> Path:
    run, recipe = folder.run, folder.run.recipe
    _quiet_lightning()
    watch = StopAtDivergence(folder, job, recipe.learning_rate)
    export = ExportModel(folder, job, watch, keep_best=recipe.patience > 0)
    begin = BeginRun(folder)
    loggers = [open_logger(name, run.out) for name in run.logger]
    if run.compile and isinstance(job.task, LearningTask):
        job.task.compile_model()
    trainer = _make_trainer(run, job, loggers, [begin, watch, export, *_callbacks(run, job), *callbacks])
    for logger in loggers:
        log_recipe(logger, recipe.to_json(), job.monitor)
    train_loader, val_loader = job.loaders(trainer.global_rank, trainer.world_size)
    try:
        trainer.fit(job.task, train_loader, val_loader, ckpt_path=folder.checkpoint, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        if trainer.interrupted:
            goes_on = "goes on from the last finished segment" if folder.checkpoint else "starts from the beginning"
            raise KeyboardInterrupt(f"stopped; the same command {goes_on}") from None
        raise
    if trainer.is_global_zero:
        if not folder.model.exists():
            raise InputError(
                f"{folder.model}: training has ended, but the model is gone; give --restart to train again"
            )
        folder.finish()
        if not export.trained:
            return _say_finished(folder)
        if message := job.closing_message():
            print(message)
        print(f"{folder.model} holds the model; next: {job.next_command}")
    return folder.model


def _say_finished(folder: RunFolder) -> Path:
    print(f"{folder.path}: training is finished already; {folder.model} holds the model")
    return folder.model


class BeginRun(Callback):
    """Once everything is ready to train: says that a run goes on, and leaves in its folder what it is.

    A run that cannot start is thus no run, and takes nothing from the one that it should replace.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.former = folder, folder.former_files()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """In the first process."""
        if trainer.is_global_zero:
            if trainer.global_step:
                print(f"going on with the run in {self.folder.path} after step {trainer.global_step}")
            self.folder.begin(self.former)


class ProgressBar(TQDMProgressBar):
    """Lightning's, which leaves its line before an error is reported."""

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Ends the lines on the screen."""
        for bar in (self._val_progress_bar, self._train_progress_bar):
            if bar is not None:
                bar.close()


def _make_trainer(run: TrainingRun, job: Job, loggers: Sequence[Logger], callbacks: Sequence[Callback]) -> pl.Trainer:
    recipe = run.recipe
    try:
        return pl.Trainer(
            accelerator=run.accelerator,
            devices=run.devices,
            num_nodes=run.nodes,
            strategy="ddp_find_unused_parameters_true"
            if job.has_unused_parameters and run.devices * run.nodes > 1
            else "auto",
            precision=recipe.precision,
            max_epochs=job.epochs,
            check_val_every_n_epoch=recipe.validate_every,
            gradient_clip_val=recipe.gradient_clip,
            log_every_n_steps=min(50, job.batches),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            accumulate_grad_batches=recipe.accumulate,
            logger=list(loggers),
            callbacks=list(callbacks),
            plugins=[WholeCheckpoints()],
            enable_model_summary=False,
            default_root_dir=run.out,
        )
    except (MisconfigurationException, ModuleNotFoundError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"accelerator={run.accelerator}, devices={run.devices}: expected what this machine has, got {reason!r}; "
            "give --accelerator cpu, or fewer --devices"
        ) from error


def _callbacks(run: TrainingRun, job: Job) -> list[Callback]:
    callbacks: list[Callback] = [
        WeightAverage(run.recipe.average_decay, run.recipe.validate_average),
        ModelCheckpoint(run.out, Path(RESUME_FILE).stem, save_on_train_epoch_end=True, enable_version_counter=False),
        StopOnSigterm(),
        ShareOfWaiting(),
        ProgressBar(refresh_rate=10),
    ]
    if run.logger:
        callbacks.append(LearningRateMonitor())
    if run.recipe.patience:
        patience = run.recipe.patience
        callbacks.append(EarlyStopping(job.monitor, mode=job.mode, patience=patience, check_on_train_epoch_end=False))
    return callbacks


def _quiet_lightning() -> None:
    """Leaves the progress bar alone on the screen: no hints about hardware, workers or the server's plugins."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")  # Lightning 2.6 on PyTorch 2.13
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message="The dirpath has changed")  # a run's folder may be moved
