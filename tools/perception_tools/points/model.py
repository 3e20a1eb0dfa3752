"""A classifier of point clouds from its recipe, and its model file. Imports no trainer and no reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from perception.clouds.cloud import CloudInput
from perception.encoders.point_bert import POINT_BERT_SIZES, PointBert
from perception.errors import InputError
from perception.heads.classification import ClsMaxHead
from perception.models.point_classifier import PointClassifier
from perception_tools.blocks import build_block
from perception_tools.model_files import TrainedWithClasses, read_model, write_trained
from perception_tools.points.recipes import PointRecipe
from perception_tools.points.task import TASK

BEST_FILE = "best.safetensors"
"""Model of the best epoch, beside that of the last one."""


def build_encoder(recipe: PointRecipe) -> PointBert:
    """The encoder of a recipe, from PyTorch's global generator."""
    return PointBert(POINT_BERT_SIZES[recipe.size], recipe.groups, recipe.group_size, drop_path=recipe.drop_path)


def build_classifier(recipe: PointRecipe, classes: int) -> PointClassifier:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        classes: Number of classes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder, dim = build_encoder(recipe), POINT_BERT_SIZES[recipe.size].transformer.dim
        head = ClsMaxHead(dim, classes, recipe.head_width, recipe.dropout)
        block = build_block(dim, recipe.block, recipe.seed)
        return PointClassifier(encoder, block, head, CloudInput(recipe.points, recipe.scaling))


@dataclass(frozen=True)
class PointTraining:
    """What a model was trained on.

    Attributes:
        name: Recipe's word on the command line.
        source: Name of the data set's folder or archive.
        clouds: Number of training clouds.
        steps: Number of optimiser steps so far.
        best_on: What the best epoch is told by; see `PointRun`.
    """

    name: str
    source: str
    clouds: int
    steps: int
    best_on: str = "held-out"


TrainedClassifier = TrainedWithClasses[PointClassifier, PointRecipe, PointTraining]
"""A classifier, as its file holds it."""


def save_classifier(
    path: Path, model: PointClassifier, recipe: PointRecipe, classes: tuple[str, ...], training: PointTraining
) -> None:
    """Writes a classifier; the file is whole or the former one."""
    write_trained(path, TASK.format, TrainedClassifier(model, recipe, classes, training))


def load_classifier(path: Path) -> TrainedClassifier:
    """A model from its file or from the folder of its run, where it is that of the last epoch.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe, training = stored.recipe_and_training(PointRecipe, PointTraining)
        if recipe.mask_ratio:
            raise InputError(
                "expected a classifier, got an encoder that was pre-trained; train one from it with --encoder-run"
            )
        classes = stored.class_names()
        model = build_classifier(recipe, len(classes))
        stored.load_into(model)
    return TrainedClassifier(model.eval(), recipe, classes, training)
