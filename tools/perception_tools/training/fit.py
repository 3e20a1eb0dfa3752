"""A training run in its folder: started, or continued, under Lightning's Trainer. The same for every task."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.utilities import rank_zero_only
from typing_extensions import override

from perception.errors import InputError
from perception_tools.json_files import write_json
from perception_tools.model_files import MODEL_FILE
from perception_tools.tasks import task_of_recipe
from perception_tools.training.job import Job
from perception_tools.training.lightning_task import LearningTask
from perception_tools.training.loggers import log_recipe, open_logger
from perception_tools.training.run import RUN_FILE, TrainingRun
from perception_tools.training.weight_average import WeightAverage

RESUME_FILE = "last.ckpt"


def fit(run: TrainingRun, model: Any = None, callbacks: Sequence[Callback] = ()) -> Path:
    """Trains until the recipe's passes are done, or no progress is made.

    Args:
        run: The run.
        model: To train in place of the recipe's; of the class that the task trains.
        callbacks: Lightning's, beside those that every run has.

    Returns:
        The model file.
    """
    job = task_of_recipe(run.name).make_job(run, model)
    resume_from = _prepare_folder(run)
    recipe = run.recipe
    _quiet_lightning()
    export = ExportModel(run.out / MODEL_FILE, job, keep_best=recipe.patience > 0)
    loggers = [open_logger(name, run.out) for name in run.logger]
    for logger in loggers:
        log_recipe(logger, recipe.to_json(), job.monitor)
    if run.compile and isinstance(job.task, LearningTask):
        job.task.compile_model()
    trainer = pl.Trainer(
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
        logger=loggers,
        callbacks=[*_callbacks(run, job, export), *callbacks],
        enable_model_summary=False,
        default_root_dir=run.out,
    )
    train_loader, val_loader = job.loaders(trainer.global_rank, trainer.world_size)
    try:
        trainer.fit(job.task, train_loader, val_loader, ckpt_path=resume_from, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        if trainer.interrupted:
            raise KeyboardInterrupt("stopped; the same command goes on from the last finished segment") from None
        raise
    if trainer.is_global_zero:
        if message := job.closing_message():
            print(message)
        print(f"{export.path} holds the model; next: {job.next_command}")
    return export.path


class ExportModel(Callback):
    """Keeps the model file up to date: at every validation, or with early stopping at every best one.

    It stands before `WeightAverage` in the list of callbacks, so that it sees the averaged weights.

    Args:
        path: Path of the file.
        job: Writes it, and names the metric of a validation that tells the best.
        keep_best: Write only when that metric has improved.
    """

    def __init__(self, path: Path, job: Job, keep_best: bool) -> None:
        self.path, self.job, self.keep_best = path, job, keep_best
        self.best = float("inf")
        self.trained = False

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes, if there is something better to write."""
        score = float(trainer.callback_metrics[self.job.monitor])
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
        """Writes the result; by then the averaged weights are the model's own."""
        if self.trained and not self.keep_best:
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
            self.job.save(self.path, trainer.global_step)


def _callbacks(run: TrainingRun, job: Job, export: ExportModel) -> list[Callback]:
    callbacks: list[Callback] = [
        export,
        WeightAverage(run.recipe.average_decay),
        ModelCheckpoint(run.out, "last", save_on_train_epoch_end=True, enable_version_counter=False),
        TQDMProgressBar(refresh_rate=10),
    ]
    if run.logger:
        callbacks.append(LearningRateMonitor())
    if run.recipe.patience:
        patience = run.recipe.patience
        callbacks.append(EarlyStopping(job.monitor, mode=job.mode, patience=patience, check_on_train_epoch_end=False))
    return callbacks


def _prepare_folder(run: TrainingRun) -> Path | None:
    """Makes the run's folder; gives the checkpoint to go on from, if it holds an unfinished run of the same kind.

    Every process calls this, the first one alone writes.
    """
    described = run.describe()
    described_before, checkpoint = run.out / RUN_FILE, run.out / RESUME_FILE
    if described_before.exists() and not run.restart:
        before = json.loads(described_before.read_text())
        if before != described:
            changed = [key for key in described if before.get(key) != described[key]]
            raise InputError(
                f"{run.out}: it holds another run (different {', '.join(changed)}); "
                "choose another --out, or give --restart to replace it"
            )
    if rank_zero_only.rank == 0:
        if run.restart and described_before.exists():  # whatever else a folder holds is not ours to delete
            shutil.rmtree(run.out)
        run.out.mkdir(parents=True, exist_ok=True)
        write_json(described_before, described)
    if run.restart or not checkpoint.exists():
        return None
    print(f"going on with the run in {run.out}")
    return checkpoint


def _quiet_lightning() -> None:
    """Leaves the progress bar alone on the screen: no hints about hardware, workers or the server's plugins."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")  # Lightning 2.6 on PyTorch 2.13
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message="The dirpath has changed")  # a run's folder may be moved
