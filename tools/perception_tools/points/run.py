"""What training a classifier of point clouds is told. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from typing_extensions import override

from perception.errors import InputError
from perception_tools.output_places import keep_apart
from perception_tools.points.recipes import PointRecipe
from perception_tools.training.bounds import Decay
from perception_tools.training.run import TrainingRun


@dataclass(frozen=True, kw_only=True)
class PointRun(TrainingRun):
    """Train a classifier of point clouds.

    Attributes:
        data: Folder or archive of the clouds: ModelNet, ScanObjectNN, ShapeNet-55, folders of classes, and others.
        start_from: A published Point-BERT to start from (.pth, .safetensors); its heads are left out.
        encoder_run: A run of points/pretrain-… whose encoder to start from; of the same size.
        limit: Train on this many clouds only, taken evenly from the classes.
        val_limit: Validate on this many clouds only, taken evenly from the classes.
        best_on: What the best epoch is told by. `held-out` keeps a part of the training clouds apart. `val-split` is
            another split. `test`, the rule of the authors' code, looks at the test clouds after every epoch: its best
            epoch is chosen by what it is then judged by. The last epoch is kept in any case, the best one beside it.
        held_out: That part, evenly from every class, drawn by the recipe's seed.
    """

    recipe: tyro.conf.OmitArgPrefixes[PointRecipe]
    start_from: Path | None = None
    encoder_run: Path | None = None
    best_on: Literal["held-out", "val-split", "test"] = "held-out"
    held_out: Decay = 0.1

    @override
    def check(self) -> None:
        """As in `TrainingRun`; nothing is written over what the model starts from, no split is validated on itself."""
        super().check()
        keep_apart([self.out], [path for path in (self.start_from, self.encoder_run) if path is not None])
        if self.start_from and self.encoder_run:
            raise InputError(
                f"--encoder-run {self.encoder_run}: expected one place to start from; leave out --start-from"
            )
        if self.best_on == "held-out" and not self.held_out:
            raise InputError("--held-out 0: expected a part of the training clouds; give 0.1, or --best-on val-split")
        if self.best_on != "held-out" and self.split == self.validated_split:
            raise InputError(
                f"--split {self.split}: expected another split than that of validation; give train and val, or "
                "--best-on held-out"
            )

    @property
    def validated_split(self) -> str:
        """Split that is validated on, where that is not a part of the training split."""
        return "test" if self.best_on == "test" else self.val_split

    @override
    def describe(self) -> dict:
        """What makes it this run and no other, as run.json holds it."""
        starts = {"start_from": self.start_from, "encoder_run": self.encoder_run}
        described = {name: str(path.resolve()) if path else None for name, path in starts.items()}
        described |= {"split": self.split, "best_on": self.best_on}
        return super().describe() | described | ({"held_out": self.held_out} if self.best_on == "held-out" else {})
