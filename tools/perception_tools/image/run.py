"""What training a classifier of pictures is told. Nothing here imports torch: help is instant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro
from typing_extensions import override

from perception.errors import InputError
from perception_tools.image.recipes import ImageRecipe
from perception_tools.output_places import keep_apart
from perception_tools.training.bounds import Decay
from perception_tools.training.run import TrainingRun


@dataclass(frozen=True, kw_only=True)
class ImageRun(TrainingRun):
    """Train a classifier of pictures.

    Attributes:
        data: Folder or archive of the pictures: ImageFolder, tar, WebDataset, Parquet, ImageNet's own layout.
        classes: Text file with the names of all classes, one a line, in the order of their labels. Without it, the
            classes of the training split in alphabetical order.
        start_from: A trained ViT to start from: a checkpoint of timm, DeiT or Hugging Face (.pth, .safetensors).
        limit: Train on this many pictures only, taken evenly from the classes.
        val_limit: Validate on this many pictures only, taken evenly from the classes.
        held_out: Part of the training split that is kept apart and validated on, in place of --val-split: evenly from
            every class, drawn by the recipe's seed. Recipes can then be chosen without the pictures of evaluation.
        workers: Number of processes that decode and change pictures; with 0 the training process does it between steps.
            About one for each core is usual.
        keep: Number of pictures that each reading process keeps in memory, up to a gigabyte, where `augmentation.shift`
            is all that changes them; otherwise, and beyond, pictures are decoded anew in every pass.
    """

    recipe: tyro.conf.OmitArgPrefixes[ImageRecipe]
    classes: Path | None = None
    start_from: Path | None = None
    held_out: Decay = 0.0

    @override
    def check(self) -> None:
        """As in `TrainingRun`; nothing is written over what the model starts from, no split is validated on itself."""
        super().check()
        keep_apart([self.out], [path for path in (self.classes, self.start_from) if path is not None])
        if self.split == self.val_split and not self.held_out:
            raise InputError(
                f"--split {self.split}: expected another split than that of --val-split; give train and val, or "
                "--held-out 0.1"
            )

    @override
    def describe(self) -> dict:
        """What makes it this run and no other, as run.json holds it."""
        files = {"classes": self.classes, "start_from": self.start_from}
        named = {name: str(path.resolve()) if path else None for name, path in files.items()}
        return super().describe() | named | {"split": self.split, "held_out": self.held_out}
