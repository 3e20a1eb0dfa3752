"""A model that recognises actions from its recipe, and its model file. Imports no trainer and no reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from perception.encoders.video_mae import VIDEO_MAE_SIZES, VideoMae
from perception.encoders.vit import VitSize
from perception.errors import InputError
from perception.heads.action import ActionHead
from perception.models.action_recognizer import ActionRecognizer
from perception.models.masked_autoencoder import MaskedAutoencoder
from perception_tools.blocks import build_block
from perception_tools.model_files import TrainedWithClasses, read_model, write_trained
from perception_tools.video.recipes import ActionRecipe
from perception_tools.video.task import TASK

DECODER_DEPTH = 4


def build_recognizer(recipe: ActionRecipe, classes: int) -> ActionRecognizer:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        classes: Number of classes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = _encoder(recipe)
        head = ActionHead(encoder.size.dim, classes)
        block = build_block(encoder.size.dim, recipe.block, recipe.seed)
        block.rows_at_once = recipe.rows_at_once or None
        return ActionRecognizer(encoder, block, head)


def build_autoencoder(recipe: ActionRecipe) -> MaskedAutoencoder:
    """The model of a recipe for pre-training, initialised from its seed; its decoder is half as wide as its encoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = _encoder(recipe)
        decoder = VitSize(encoder.size.dim // 2, DECODER_DEPTH, max(encoder.size.heads // 2, 1))
        return MaskedAutoencoder(encoder, decoder)


def _encoder(recipe: ActionRecipe) -> VideoMae:
    return VideoMae(
        VIDEO_MAE_SIZES[recipe.size],
        recipe.patch,
        (recipe.images, recipe.picture, recipe.picture),
        tubelet=recipe.tubelet,
        drop_path=recipe.drop_path,
        checkpointing=recipe.checkpointing,
    )


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


class TrainedRecognizer(TrainedWithClasses[ActionRecognizer | MaskedAutoencoder, ActionRecipe, ActionTraining]):
    """A model of clips, as its file holds it; of a run of pre-training an autoencoder, without classes."""

    @property
    def recognizer(self) -> ActionRecognizer:
        """The model of a run that learned actions."""
        assert isinstance(self.model, ActionRecognizer), "no run of pre-training"
        return self.model


def save_recognizer(
    path: Path,
    model: ActionRecognizer | MaskedAutoencoder,
    recipe: ActionRecipe,
    classes: tuple[str, ...],
    training: ActionTraining,
) -> None:
    """Writes a model of clips; the file is whole or the former one."""
    write_trained(path, TASK.format, TrainedRecognizer(model, recipe, classes, training))


def load_recognizer(path: Path) -> TrainedRecognizer:
    """A model from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe, training = stored.recipe_and_training(ActionRecipe, ActionTraining)
        classes = stored.class_names()
        model = build_autoencoder(recipe) if recipe.mask_ratio else build_recognizer(recipe, len(classes))
        stored.load_into(model)
    return TrainedRecognizer(model.eval(), recipe, classes, training)


def load_encoder_of(run: Path, encoder: VideoMae) -> None:
    """Puts the encoder of a run of pre-training into another model.

    Raises:
        InputError: There is no such run, it is none of pre-training, or its encoder is of another size.
    """
    trained = load_recognizer(run)
    if not isinstance(trained.model, MaskedAutoencoder):
        raise InputError(f"{run}: expected a run of video/pretrain-…, found one of {trained.name}; train one first")
    theirs = trained.model.encoder
    if (theirs.size, theirs.patch, theirs.tubelet, theirs.clip) != (
        encoder.size,
        encoder.patch,
        encoder.tubelet,
        encoder.clip,
    ):
        raise InputError(
            f"{run}: expected an encoder of {encoder.size} for clips of {encoder.clip}, found {theirs.size} and "
            f"{theirs.clip}; give the same size, patch, tubelet, images and picture to both"
        )
    encoder.load_state_dict(theirs.state_dict())
