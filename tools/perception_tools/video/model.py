"""A model that recognises actions from its recipe, and its model file. Imports no trainer and no reader."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from perception.encoders.video_mae import VIDEO_MAE_SIZES, VideoMae
from perception.errors import InputError
from perception.heads.action import ActionHead
from perception.models.action_recognizer import ActionRecognizer
from perception_tools.blocks import build_block
from perception_tools.model_files import expect_types, read_model, write_model
from perception_tools.video.recipes import ActionRecipe
from perception_tools.video.task import TASK


def build_recognizer(recipe: ActionRecipe, classes: int) -> ActionRecognizer:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        classes: Number of classes.
    """
    size = VIDEO_MAE_SIZES[recipe.size]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = VideoMae(
            size,
            recipe.patch,
            (recipe.images, recipe.picture, recipe.picture),
            tubelet=recipe.tubelet,
            drop_path=recipe.drop_path,
            checkpointing=recipe.checkpointing,
        )
        head = ActionHead(size.dim, classes)
        block = build_block(size.dim, recipe.block, recipe.seed)
        block.rows_at_once = recipe.rows_at_once or None
        return ActionRecognizer(encoder, block, head)


@dataclass(frozen=True)
class ActionTraining:
    """What a model was trained on.

    Attributes:
        name: Recipe's word on the command line.
        source: Name of the data set's folder.
        labels: Which of its sets of labels; empty for the usual ones.
        where: Which of its videos; empty for all.
        clips: Number of training videos.
        steps: Number of optimiser steps so far.
    """

    name: str
    source: str
    labels: str
    where: str
    clips: int
    steps: int


@dataclass(frozen=True)
class TrainedRecognizer:
    """A model file, loaded.

    Attributes:
        model: The model, in evaluation mode.
        recipe: The recipe that it was built by.
        classes: Names of its classes, by label.
        training: What it was trained on.
    """

    model: ActionRecognizer
    recipe: ActionRecipe
    classes: tuple[str, ...]
    training: ActionTraining

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.training.name


def save_recognizer(
    path: Path, model: ActionRecognizer, recipe: ActionRecipe, classes: tuple[str, ...], training: ActionTraining
) -> None:
    """Writes under a temporary name and renames, so that the file is whole or the former one."""
    metadata = {"recipe": recipe.to_json(), "training": asdict(training), "classes": {"names": classes}}
    write_model(path, model, TASK.format, metadata)


def load_recognizer(path: Path) -> TrainedRecognizer:
    """A model from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe = ActionRecipe.from_json(stored.metadata["recipe"])
        training = ActionTraining(**stored.metadata["training"])
        expect_types(recipe)
        expect_types(training)
        recipe.check()
        classes = stored.metadata["classes"]["names"]
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise InputError("expected the names of the classes as texts")
        model = build_recognizer(recipe, len(classes))
        stored.load_into(model)
    return TrainedRecognizer(model.eval(), recipe, tuple(classes), training)
