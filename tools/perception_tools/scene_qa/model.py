"""A trained scene answerer as one safetensors file: weights, recipe, words, answers, and which block they belong to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from perception.encoders.votenet import VoteNet
from perception.errors import InputError
from perception.frozen.trained_state import load_trainable_state_dict
from perception.models.scene_answerer import SceneAnswerer
from perception.scenes.classes import BOX_CLASSES
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import Vocabulary
from perception_tools.model_files import read_model, write_model
from perception_tools.scene_qa.learning import KnownWords, build_answerer, build_detector
from perception_tools.scene_qa.recipes import SceneQaRecipe

FORMAT = "frozen-perception scene answerer 1"


@dataclass(frozen=True)
class SceneQaTraining:
    """What a model was trained on.

    Attributes:
        name: Recipe's word on the command line.
        source: `scannet`, or `synthetic` for made rooms.
        scenes: How many there were.
        questions: How many there were.
        steps: Optimiser steps so far.
    """

    name: str
    source: str
    scenes: int
    questions: int
    steps: int


@dataclass(frozen=True)
class TrainedAnswerer:
    """A model file, loaded.

    Attributes:
        model: In evaluation mode.
        recipe: It was built by.
        answers: Of its logits.
        training: It went through.
    """

    model: SceneAnswerer
    recipe: SceneQaRecipe
    answers: AnswerVocabulary
    training: SceneQaTraining


def save_answerer(
    path: Path, model: SceneAnswerer, recipe: SceneQaRecipe, words: KnownWords, training: SceneQaTraining
) -> None:
    """Writes under a temporary name and renames, so that the file is whole or the former one."""
    vocabulary = words.vocabulary
    said = {"words": vocabulary.words, "rule": vocabulary.rule, "learned_vectors": words.vectors is None}
    metadata = {"recipe": recipe.to_json(), "training": asdict(training), "vocabulary": said}
    write_model(path, model, FORMAT, metadata | {"answers": {"answers": words.answers.answers}})


def load_answerer(path: Path) -> TrainedAnswerer:
    """A model from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, FORMAT)
    recipe = SceneQaRecipe.from_json(stored.metadata["recipe"])
    said = stored.metadata["vocabulary"]
    words = KnownWords(
        Vocabulary(tuple(said["words"]), said["rule"]),
        AnswerVocabulary(tuple(stored.metadata["answers"]["answers"])),
        None if said["learned_vectors"] else stored.weights["text.words.weight"],
    )
    model = build_answerer(recipe, words, torch.ones(len(BOX_CLASSES), 3))  # the sizes are among the weights
    stored.load_into(model)
    return TrainedAnswerer(model.eval(), recipe, words.answers, SceneQaTraining(**stored.metadata["training"]))


def load_detector(path: Path, recipe: SceneQaRecipe) -> VoteNet:
    """The detector of a trained run, for answerers of a recipe; what else the run learned does not matter.

    Raises:
        InputError: There is none, or it is not the detector of the recipe.
    """
    if recipe.blind:
        raise InputError(f"--detector-run {path}: expected a recipe with blind=False, which sees scenes; leave it out")
    stored = read_model(path, FORMAT)
    theirs = SceneQaRecipe.from_json(stored.metadata["recipe"])
    for name in ("blind", "detector", "named_seeds", "points", "proposals", "legacy_color"):
        wanted, found = getattr(recipe, name), getattr(theirs, name)
        if found != wanted:
            raise InputError(
                f"--detector-run {path}: expected a run with {name}={wanted!r} as the recipe has it, got {found!r}; "
                "train the recipe's own detector (scene-qa/…-detector)"
            )
    prefix = "scene."
    weights = {name.removeprefix(prefix): value for name, value in stored.weights.items() if name.startswith(prefix)}
    detector = build_detector(theirs, torch.ones(len(BOX_CLASSES), 3))  # the sizes are among the weights
    load_trainable_state_dict(detector, weights, {})
    return detector
