"""What training on clips is told. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from typing_extensions import override

from perception.errors import InputError
from perception_tools.output_places import keep_apart
from perception_tools.training.bounds import Decay, Index
from perception_tools.training.run import TrainingRun
from perception_tools.video.recipes import ActionRecipe


@dataclass(frozen=True, kw_only=True)
class ActionRun(TrainingRun):
    """Train a model that recognises actions.

    Attributes:
        data: Folder of the videos: Something-Something, Kinetics, folders of classes; also as tar or pictures.
        labels: Which of several sets of labels: `motion` reads SPLIT_motion.json and labels_motion.json.
        where: Take some videos only: COLUMN=VALUE of the table SPLIT.csv.
        start_from: A trained VideoMAE to start from: a checkpoint of its authors or Hugging Face (.pth, .safetensors).
        encoder_run: A run of video/pretrain-… whose encoder to start from; of the same size.
        limit: Train on this many videos only, taken evenly from the classes.
        val_limit: Validate on this many videos only, taken evenly from the classes.
        held_out: Part of the training split that is kept apart and validated on, in place of --val-split: evenly from
            every class, drawn by the recipe's seed.
        keep_mb: Megabytes of decoded videos that each reading process keeps in memory, whole and resized to the
            recipe's shorter_side; of others the images that are wanted are decoded in every pass.
        workers: Number of processes that decode and change clips; with 0 the training process does it between steps.
        keep: Not used: see keep_mb.
    """

    recipe: tyro.conf.OmitArgPrefixes[ActionRecipe]
    labels: str = ""
    where: str = ""
    start_from: Path | None = None
    encoder_run: Path | None = None
    held_out: Decay = 0.0
    keep_mb: Index = 512
    keep: tyro.conf.Suppress[int] = 0

    @override
    def check(self) -> None:
        """As in `TrainingRun`; nothing is written over what the model starts from, no split is validated on itself."""
        super().check()
        keep_apart([self.out], [path for path in (self.start_from, self.encoder_run) if path is not None])
        if self.start_from is not None and self.encoder_run is not None:
            raise InputError("--encoder-run: expected one model to start from, got --start-from too; give one of them")
        if self.split == self.val_split and not self.held_out:
            raise InputError(
                f"--split {self.split}: expected another split than that of --val-split; give train and val, or "
                "--held-out 0.1"
            )

    @override
    def describe(self) -> dict:
        """What makes it this run and no other, as run.json holds it."""
        files = {"start_from": self.start_from, "encoder_run": self.encoder_run}
        named = {name: str(path.resolve()) if path else None for name, path in files.items()}
        chosen = {"labels": self.labels, "where": self.where, "split": self.split, "held_out": self.held_out}
        return super().describe() | chosen | named
