"""A model of pictures with texts from its recipe, and its model file. Imports no trainer and no reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from perception.encoders.clip_vision import ClipVision
from perception.encoders.roberta import RobertaText
from perception.encoders.vit import VitSize
from perception.errors import InputError
from perception.fusion.co_attention import CoAttention
from perception.models.image_text import ImageText
from perception.texts.tokenizer import Tokenizer, tokenizer_from_json
from perception_tools.blocks import build_block
from perception_tools.image_text.recipes import ImageTextRecipe
from perception_tools.image_text.task import TASK
from perception_tools.model_files import TrainedWithClasses, read_model, write_trained


def build_image_text(recipe: ImageTextRecipe, tokenizer: Tokenizer, answers: int) -> ImageText:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        tokenizer: Splits its texts.
        answers: Number of answers; 0 for retrieval.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        image = ClipVision(
            VitSize(recipe.image_dim, recipe.image_depth, recipe.image_heads), recipe.patch, recipe.picture
        )
        text = RobertaText(
            tokenizer,
            VitSize(recipe.text_dim, recipe.text_depth, recipe.text_heads),
            longest=recipe.longest,
            positions=recipe.positions,
            dropout=recipe.dropout,
        )
        fusion = CoAttention(recipe.dim, recipe.heads, recipe.layers, recipe.dropout)
        return ImageText(
            image,
            text,
            fusion,
            build_block(recipe.dim, recipe.block, recipe.seed),
            dim=recipe.dim,
            answers=answers,
            ranks=recipe.goal == "retrieval",
            streams=recipe.streams,
        )


@dataclass(frozen=True)
class ImageTextTraining:
    """What a model was trained on.

    Attributes:
        name: Recipe's word on the command line.
        source: Name of the data's folder.
        texts: Number of questions or captions.
        steps: Optimiser steps so far.
    """

    name: str
    source: str
    texts: int
    steps: int


class TrainedImageText(TrainedWithClasses[ImageText, ImageTextRecipe, ImageTextTraining]):
    """A model of pictures with texts, as its file holds it; its recipe has the sizes of the towers it started from."""

    CLASSES_KEY = ("answers", "answers")

    @property
    def answers(self) -> tuple[str, ...]:
        """Its classes: the answers of its logits; empty where it ranks."""
        return self.classes


def save_image_text(
    path: Path, model: ImageText, recipe: ImageTextRecipe, answers: tuple[str, ...], training: ImageTextTraining
) -> None:
    """Writes a model with its tokenizer; the file is whole or the former one."""
    trained = TrainedImageText(model, recipe, answers, training)
    write_trained(path, TASK.format, trained, tokenizer=model.text.tokenizer.to_json())


def load_image_text(path: Path) -> TrainedImageText:
    """A model from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe, training = stored.recipe_and_training(ImageTextRecipe, ImageTextTraining)
        answers = stored.class_names(TrainedImageText)
        if (recipe.goal == "vqa") != bool(answers):
            raise InputError(f"expected answers where the goal is vqa, found {len(answers)} and {recipe.goal!r}")
        model = build_image_text(recipe, tokenizer_from_json(stored.metadata["tokenizer"]), len(answers))
        stored.load_into(model)
    return TrainedImageText(model.eval(), recipe, answers, training)
