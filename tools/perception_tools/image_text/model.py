"""A model of pictures with texts from its recipe, and its model file. Imports no trainer and no reader."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
from perception_tools.model_files import expect_types, read_model, write_model


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


@dataclass(frozen=True)
class TrainedImageText:
    """A model file, loaded.

    Attributes:
        model: In evaluation mode.
        recipe: It was built by, with the sizes of the towers that it started from.
        answers: Answers of its logits; empty where it ranks.
        training: It went through.
    """

    model: ImageText
    recipe: ImageTextRecipe
    answers: tuple[str, ...]
    training: ImageTextTraining

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.training.name


def save_image_text(
    path: Path, model: ImageText, recipe: ImageTextRecipe, answers: tuple[str, ...], training: ImageTextTraining
) -> None:
    """Writes under a temporary name and renames, so that the file is whole or the former one."""
    metadata = {"recipe": recipe.to_json(), "training": asdict(training), "answers": {"answers": answers}}
    write_model(path, model, TASK.format, metadata | {"tokenizer": model.text.tokenizer.to_json()})


def load_image_text(path: Path) -> TrainedImageText:
    """A model from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe = ImageTextRecipe.from_json(stored.metadata["recipe"])
        training = ImageTextTraining(**stored.metadata["training"])
        expect_types(recipe)
        expect_types(training)
        recipe.check()
        answers = stored.metadata["answers"]["answers"]
        if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
            raise InputError("expected answers that are texts")
        if (recipe.goal == "vqa") != bool(answers):
            raise InputError(f"expected answers where the goal is vqa, found {len(answers)} and {recipe.goal!r}")
        model = build_image_text(recipe, tokenizer_from_json(stored.metadata["tokenizer"]), len(answers))
        stored.load_into(model)
    return TrainedImageText(model.eval(), recipe, tuple(answers), training)
