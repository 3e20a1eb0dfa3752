"""A classifier of pictures from its recipe, and its model file. Imports no trainer and no reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from perception.encoders.vit import VIT_SIZES, Vit
from perception.heads.classification import ClassificationHead
from perception.images.picture_input import PictureInput
from perception.models.image_classifier import ImageClassifier
from perception_tools.blocks import build_block
from perception_tools.image.recipes import ImageRecipe
from perception_tools.image.task import TASK
from perception_tools.model_files import TrainedWithClasses, read_model, write_trained


def build_classifier(recipe: ImageRecipe, classes: int) -> ImageClassifier:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        classes: Number of classes.
    """
    size, side = VIT_SIZES[recipe.size], recipe.picture
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = Vit(size, recipe.patch, (side, side), drop_path=recipe.drop_path, checkpointing=recipe.checkpointing)
        head = ClassificationHead(size.dim, classes, recipe.pooling)
        block = build_block(size.dim, recipe.block, recipe.seed)
        shown = PictureInput(side, side, recipe.crop_pct)
        return ImageClassifier(encoder, block, head, position=recipe.position, input=shown)


@dataclass(frozen=True)
class ImageTraining:
    """What a model was trained on.

    Attributes:
        name: Recipe's word on the command line.
        source: Name of the data set's folder or archive.
        pictures: Number of training pictures.
        steps: Number of optimiser steps so far.
    """

    name: str
    source: str
    pictures: int
    steps: int


TrainedClassifier = TrainedWithClasses[ImageClassifier, ImageRecipe, ImageTraining]
"""A classifier, as its file holds it."""


def save_classifier(
    path: Path, model: ImageClassifier, recipe: ImageRecipe, classes: tuple[str, ...], training: ImageTraining
) -> None:
    """Writes a classifier; the file is whole or the former one."""
    write_trained(path, TASK.format, TrainedClassifier(model, recipe, classes, training))


def load_classifier(path: Path) -> TrainedClassifier:
    """A model from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe, training = stored.recipe_and_training(ImageRecipe, ImageTraining)
        classes = stored.class_names()
        model = build_classifier(recipe, len(classes))
        stored.load_into(model)
    return TrainedClassifier(model.eval(), recipe, classes, training)
