"""A training run in its folder: started, or gone on with, under Lightning's Trainer. The same for every task."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader
from typing_extensions import override

from perception.errors import InputError
from perception_tools.commands.train import AnyTrainingRun, SceneQaTrainingRun
from perception_tools.json_files import write_json
from perception_tools.model_files import MODEL_FILE
from perception_tools.training.weight_average import WeightAverage

RUN_FILE = "run.json"
RESUME_FILE = "last.ckpt"


@dataclass(frozen=True)
class Job:
    """All that one kind of training has for itself.

    Attributes:
        task: What is trained.
        epochs: Lightning's epochs, which are segments of the passes over the data.
        batches: Of every epoch.
        loaders: Training and validation data of a process, given its rank and how many processes there are.
        save: Writes the model file, given its path and the optimiser steps so far.
        monitor: The number of the validation that tells whether a model is better.
        mode: Whether less or more of it is better.
        last_words: What to say about the data when all is done; empty where nothing is to be said.
        next_command: What to run on the model next.
        leaves_out: Whether some steps leave out some of the model's parameters, which processes must then agree about.
    """

    task: pl.LightningModule
    epochs: int
    batches: int
    loaders: Callable[[int, int], tuple[DataLoader, DataLoader]]
    save: Callable[[Path, int], None]
    monitor: str
    mode: Literal["min", "max"]
    last_words: Callable[[], str]
    next_command: str
    leaves_out: bool = False


def fit(run: AnyTrainingRun) -> Path:
    """Trains until the recipe's passes are done, or no progress is made; returns the model file."""
    job = _make_job(run)
    resume_from = _prepare_folder(run)
    recipe = run.recipe
    _quiet_lightning()
    export = ExportModel(run.out / MODEL_FILE, job, keep_best=recipe.patience > 0)
    trainer = pl.Trainer(
        accelerator=run.accelerator,
        devices=run.devices,
        num_nodes=run.nodes,
        strategy="ddp_find_unused_parameters_true" if job.leaves_out and run.devices * run.nodes > 1 else "auto",
        precision=recipe.precision,
        max_epochs=job.epochs,
        check_val_every_n_epoch=recipe.validate_every,
        gradient_clip_val=recipe.gradient_clip,
        log_every_n_steps=min(50, job.batches),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(run.out, name="", version=""),
        callbacks=_callbacks(run, job, export),
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
        _report(job, export)
    return export.path


class ExportModel(Callback):
    """Keeps the model file up to date: at every validation, or with early stopping at every best one.

    It stands before `WeightAverage` in the list of callbacks, so that it sees the averaged weights.

    Args:
        path: Of the file.
        job: Writes it, and says which number of a validation tells the best.
        keep_best: Write only when that number has improved.
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
        """For the checkpoint."""
        return {"best": self.best}

    @override
    def load_state_dict(self, state_dict: dict) -> None:
        """From the checkpoint."""
        self.best = state_dict["best"]

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            self.job.save(self.path, trainer.global_step)


def _make_job(run: AnyTrainingRun) -> Job:
    if isinstance(run, SceneQaTrainingRun):
        from perception_tools.scene_qa.job import scene_qa_job

        return scene_qa_job(run)
    from perception_tools.forecasting.job import forecast_job

    return forecast_job(run)


def _callbacks(run: AnyTrainingRun, job: Job, export: ExportModel) -> list[Callback]:
    callbacks: list[Callback] = [
        export,
        WeightAverage(run.recipe.average_decay),
        ModelCheckpoint(run.out, "last", save_on_train_epoch_end=True, enable_version_counter=False),
        TQDMProgressBar(refresh_rate=10),
    ]
    if run.recipe.patience:
        patience = run.recipe.patience
        callbacks.append(EarlyStopping(job.monitor, mode=job.mode, patience=patience, check_on_train_epoch_end=False))
    return callbacks


def _prepare_folder(run: AnyTrainingRun) -> Path | None:
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


def _report(job: Job, export: ExportModel) -> None:
    """The last words of a run."""
    if said := job.last_words():
        print(said)
    print(f"{export.path} holds the model; next: {job.next_command}")
