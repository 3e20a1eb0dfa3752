"""A training run in its folder: started, or gone on with, under Lightning's Trainer."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from typing_extensions import override

from perception.errors import InputError
from perception.scenario import Scenario
from perception_datasets.errors import ScenarioError
from perception_datasets.forecasting import ScenarioFolder, open_forecasting
from perception_tools.forecast_data import SegmentSampler, training_loader, validation_loader
from perception_tools.forecast_task import ForecastTask
from perception_tools.model_file import MODEL_FILE, Training, save_model
from perception_tools.recipes import write_json
from perception_tools.train import TrainingRun
from perception_tools.weight_average import WeightAverage

RUN_FILE = "run.json"
RESUME_FILE = "last.ckpt"
MONITOR = "val/min_fde"


def fit(run: TrainingRun) -> Path:
    """Trains until the recipe's passes are done, or no progress is made; returns the model file."""
    train_folder = open_forecasting(run.data, run.split, limit=run.limit)
    val_folder = open_forecasting(run.data, run.val_split, limit=run.val_limit)
    scenario = first_readable(train_folder)
    training = Training(
        run.name, scenario.source, len(train_folder), scenario.history_steps, scenario.future_steps, steps=0
    )
    resume_from = _prepare_folder(run)
    recipe = run.recipe
    _quiet_lightning()
    task = ForecastTask(recipe, scenario.future_steps)
    export = ExportModel(run.out / MODEL_FILE, training, keep_best=recipe.patience > 0)
    segments = SegmentSampler(len(train_folder), recipe.batch_scenarios, recipe.seed)
    trainer = pl.Trainer(
        accelerator=run.accelerator,
        devices=run.devices,
        num_nodes=run.nodes,
        precision=recipe.precision,
        max_epochs=recipe.passes * segments.segments_per_pass,
        check_val_every_n_epoch=recipe.validate_every,
        gradient_clip_val=recipe.gradient_clip,
        log_every_n_steps=min(50, segments.batches),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=TensorBoardLogger(run.out, name="", version=""),
        callbacks=_callbacks(run, export),
        enable_model_summary=False,
        default_root_dir=run.out,
    )
    train_loader = training_loader(
        train_folder, recipe, rank=trainer.global_rank, processes=trainer.world_size, workers=run.workers
    )
    val_loader = validation_loader(val_folder, recipe, rank=trainer.global_rank, processes=trainer.world_size)
    try:
        trainer.fit(task, train_loader, val_loader, ckpt_path=resume_from, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        if trainer.interrupted:
            raise KeyboardInterrupt("stopped; the same command goes on from the last finished segment") from None
        raise
    if trainer.is_global_zero:
        _report(task, train_folder, export)
    return export.path


class ExportModel(Callback):
    """Keeps the model file up to date: at every validation, or with early stopping at every best one.

    It stands before `WeightAverage` in the list of callbacks, so that it sees the averaged weights.

    Args:
        path: Of the file.
        training: Goes into it, with the number of steps filled in.
        keep_best: Write only when the monitored number has improved.
    """

    def __init__(self, path: Path, training: Training, keep_best: bool) -> None:
        self.path, self.training, self.keep_best = path, training, keep_best
        self.best = float("inf")
        self.trained = False

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes, if there is something better to write."""
        score = float(trainer.callback_metrics[MONITOR])
        if not self.keep_best or score < self.best:
            self.best = min(score, self.best)
            self._write(trainer, pl_module)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remembers that there was something to train: for a run that was finished before, nobody calls this."""
        self.trained = True

    @override
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the result; by then the averaged weights are the model's own."""
        if self.trained and not self.keep_best:
            self._write(trainer, pl_module)

    @override
    def state_dict(self) -> dict:
        """For the checkpoint."""
        return {"best": self.best}

    @override
    def load_state_dict(self, state_dict: dict) -> None:
        """From the checkpoint."""
        self.best = state_dict["best"]

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and isinstance(pl_module, ForecastTask):
            values = {**self.training.__dict__, "steps": trainer.global_step}
            save_model(self.path, pl_module.model, pl_module.recipe, Training(**values))


def first_readable(folder: ScenarioFolder) -> Scenario:
    """The first scenario of a folder that can be read: it tells the data's shape.

    Raises:
        InputError: There is none.
    """
    failures: list[ScenarioError] = []
    for scenario in folder.read_all(lambda _, error: failures.append(error)):
        return scenario
    raise InputError(f"none of {len(folder)} scenarios could be read; the first: {failures[0] if failures else 'none'}")


def _callbacks(run: TrainingRun, export: ExportModel) -> list[Callback]:
    callbacks: list[Callback] = [
        export,
        WeightAverage(run.recipe.average_decay),
        ModelCheckpoint(run.out, "last", save_on_train_epoch_end=True, enable_version_counter=False),
        TQDMProgressBar(refresh_rate=10),
    ]
    if run.recipe.patience:
        callbacks.append(EarlyStopping(MONITOR, patience=run.recipe.patience, check_on_train_epoch_end=False))
    return callbacks


def _prepare_folder(run: TrainingRun) -> Path | None:
    """Makes the run's folder; gives the checkpoint to go on from, if it holds an unfinished run of the same kind.

    Every process calls this, the first one alone writes.
    """
    described = {"name": run.name, "recipe": run.recipe.to_json(), "data": str(run.data.resolve()), "limit": run.limit}
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


def _report(task: ForecastTask, folder: ScenarioFolder, export: ExportModel) -> None:
    """The last words of a run."""
    if task.failures:
        print(f"{len(task.failures)} of {len(folder)} training scenarios could not be used:")
        for name, reason in task.failures.items():
            print(f"  {name}: {reason}")
    print(f"{export.path} holds the model; next: perception evaluate {export.path.parent} --data … --out …")
