"""How a classifier of point clouds learns, under Lightning, and which of its epochs was the best."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from torch import nn
from typing_extensions import override

from perception.files import reading
from perception.models.point_classifier import PointClassifier
from perception_tools.classification.learning import ClassificationTask
from perception_tools.json_files import write_json
from perception_tools.points.recipes import PointRecipe

EPOCHS_FILE = "epochs.json"
"""Validation of every epoch, the best and the last among them."""


class PointTask(ClassificationTask[PointRecipe, PointClassifier]):
    """A classifier of point clouds and how it learns.

    Args:
        recipe: All numbers.
        model: What is trained.
        classes: Number of classes.
        epochs: Keeps account of the epochs; None keeps none.
    """

    noun: ClassVar[str] = "cloud"

    def __init__(
        self, recipe: PointRecipe, model: PointClassifier, classes: int, epochs: EpochRecord | None = None
    ) -> None:
        super().__init__(recipe, model, classes, recipe.mixup)
        self.epochs = epochs

    @override
    def parameter_groups(self) -> dict[str, Sequence[nn.Parameter]]:
        """`block`, and `no_decay`: what does not decay in the authors' code, where that learns at another rate."""
        groups = super().parameter_groups()
        in_block = {id(parameter) for parameter in groups.get("block", ())}
        named = [(name, p) for name, p in self.model.named_parameters() if id(p) not in in_block]
        groups["no_decay"] = [p for name, p in named if p.ndim <= 1 or name.endswith("bias") or "token" in name]
        return groups

    @override
    def on_validation_epoch_end(self) -> None:
        """Notes the epoch's accuracy; the model of the best epoch is saved."""
        super().on_validation_epoch_end()
        if self.epochs is not None and self.top1.update_called:
            accuracy = float(self.top1.compute())
            if self.global_rank == 0:
                self.epochs.add(self.current_epoch, self.global_step, accuracy)


class EpochRecord:
    """The validation of every epoch of a run, in a file.

    Args:
        path: The file.
        best_on: What epochs are told by.
        save: Function that writes the model of the best epoch, given the number of steps so far.
    """

    def __init__(self, path: Path, best_on: str, save: Callable[[int], None]) -> None:
        self.path, self.best_on, self.save = path, best_on, save

    def add(self, epoch: int, step: int, top1: float) -> None:
        """Adds an epoch; those at or after it, which a run that was broken off left, are forgotten."""
        known = [entry for entry in self._read() if entry["epoch"] < epoch]
        if all(entry["top1"] < top1 for entry in known):
            self.save(step)
        known.append({"epoch": epoch, "step": step, "top1": top1})
        best = max(known, key=lambda entry: (entry["top1"], -entry["epoch"]))
        write_json(self.path, {"best_on": self.best_on, "best": best, "last": known[-1], "epochs": known})

    def _read(self) -> list[dict]:
        if not self.path.is_file():
            return []
        with reading(self.path, "remove it"):
            return json.loads(self.path.read_text(encoding="utf-8"))["epochs"]
