"""A scene answerer from its recipe, and its model file. Imports no trainer and no reader."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from perception.encoders.pointnet2 import Level
from perception.encoders.text import LstmText
from perception.encoders.votenet import LEVELS, VoteNet
from perception.errors import InputError
from perception.frozen.trained_state import load_trainable_state_dict
from perception.models.scene_answerer import SceneAnswerer, SceneInput
from perception.scenes.classes import BOX_CLASSES
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import Vocabulary
from perception_tools.blocks import build_block
from perception_tools.model_files import StoredModel, expect_types, read_model, write_model
from perception_tools.scene_qa.recipes import SceneQaRecipe
from perception_tools.scene_qa.task import TASK

SMALL_LEVELS = (
    Level(384, 0.3, 16, (32, 32, 64)),
    Level(192, 0.5, 16, (64, 64, 128)),
    Level(96, 0.8, 16, (64, 64, 128)),
    Level(48, 1.2, 16, (64, 64, 128)),
)
"""For some thousand points of a room; VoteNet's own (`perception.encoders.votenet.LEVELS`) are for 40,000."""
POINT_FEATURES = 4


@dataclass(frozen=True)
class KnownWords:
    """Words that a model reads, and answers that it gives.

    Attributes:
        vocabulary: Words of the texts.
        answers: Answers that it chooses among.
        vectors: Word vectors, not trained; None where they are learned.
    """

    vocabulary: Vocabulary
    answers: AnswerVocabulary
    vectors: Float[Tensor, "numbers word_dim"] | None = None


def build_answerer(recipe: SceneQaRecipe, words: KnownWords, mean_sizes: Float[Tensor, "classes 3"]) -> SceneAnswerer:
    """The model of a recipe, initialised from its seed.

    Args:
        recipe: Its numbers.
        words: What it reads and says.
        mean_sizes: Mean size of the boxes of each class, metres.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        text = LstmText(
            words.vocabulary,
            recipe.text_dim,
            vectors=words.vectors,
            word_dim=recipe.word_dim,
            dropout=recipe.word_dropout,
        )
        return SceneAnswerer(
            None if recipe.blind else build_detector(recipe, mean_sizes),
            text,
            None if recipe.blind else build_block(recipe.dim, recipe.block, recipe.seed),
            len(words.answers),
            dim=recipe.dim,
            heads=recipe.heads,
            layers=recipe.layers,
            pooled_dim=recipe.pooled_dim,
            dropout=recipe.dropout,
            with_situation=not recipe.without_situation,
            with_viewpoint=recipe.viewpoint_loss,
            grounded_names=BOX_CLASSES if recipe.grounded else None,
            one_answer=recipe.answer_loss == "softmax",
            input=scene_input(recipe),
        )


def scene_input(recipe: SceneQaRecipe) -> SceneInput:
    """How the recipe's model is shown a scene."""
    return SceneInput(recipe.points, recipe.legacy_color)


def build_detector(recipe: SceneQaRecipe, mean_sizes: Float[Tensor, "classes 3"]) -> VoteNet:
    """The recipe's VoteNet."""
    levels, seed_dim = (LEVELS, 256) if recipe.detector == "votenet" else (SMALL_LEVELS, 128)
    more = {"proposals": recipe.proposals, "named_seeds": recipe.named_seeds}
    return VoteNet(POINT_FEATURES, mean_sizes, levels=levels, seed_dim=seed_dim, **more)


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
        answers: Answers of its logits.
        training: It went through.
    """

    model: SceneAnswerer
    recipe: SceneQaRecipe
    answers: AnswerVocabulary
    training: SceneQaTraining

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.training.name


def save_answerer(
    path: Path, model: SceneAnswerer, recipe: SceneQaRecipe, words: KnownWords, training: SceneQaTraining
) -> None:
    """Writes under a temporary name and renames, so that the file is whole or the former one."""
    vocabulary = words.vocabulary
    texts = {"words": vocabulary.words, "rule": vocabulary.rule, "learned_vectors": words.vectors is None}
    metadata = {"recipe": recipe.to_json(), "training": asdict(training), "vocabulary": texts}
    write_model(path, model, TASK.format, metadata | {"answers": {"answers": words.answers.answers}})


def load_answerer(path: Path) -> TrainedAnswerer:
    """A model from its file or from the folder of its run.

    Raises:
        InputError: There is no such file, it is none of ours, or its block cannot be found as it was.
    """
    stored = read_model(path, TASK.format)
    with stored.building():
        recipe = SceneQaRecipe.from_json(stored.metadata["recipe"])
        training = SceneQaTraining(**stored.metadata["training"])
        expect_types(recipe)
        expect_types(training)
        words = _known_words(stored)
        model = build_answerer(recipe, words, torch.ones(len(BOX_CLASSES), 3))  # the sizes are among the weights
        stored.load_into(model)
    return TrainedAnswerer(model.eval(), recipe, words.answers, training)


def _known_words(stored: StoredModel) -> KnownWords:
    texts, answers = stored.metadata["vocabulary"], stored.metadata["answers"]["answers"]
    if not all(isinstance(word, str) for word in [*texts["words"], *answers, texts["rule"]]):
        raise InputError("expected words and answers that are texts")
    return KnownWords(
        Vocabulary(tuple(texts["words"]), texts["rule"]),
        AnswerVocabulary(tuple(answers)),
        None if texts["learned_vectors"] else stored.weights["text.words.weight"],
    )


def load_detector(path: Path, recipe: SceneQaRecipe) -> VoteNet:
    """The detector of a trained run, for answerers of a recipe; what else the run learned does not matter.

    Raises:
        InputError: There is none, or it is not the detector of the recipe.
    """
    if recipe.blind:
        raise InputError(f"--detector-run {path}: expected a recipe with blind=False, which sees scenes; leave it out")
    stored = read_model(path, TASK.format)
    with stored.building():
        theirs = SceneQaRecipe.from_json(stored.metadata["recipe"])
        expect_types(theirs)
    for name in ("blind", "detector", "named_seeds", "points", "proposals", "legacy_color"):
        wanted, found = getattr(recipe, name), getattr(theirs, name)
        if found != wanted:
            raise InputError(
                f"--detector-run {path}: expected a run with {name}={wanted!r} as the recipe has it, got {found!r}; "
                "train the recipe's own detector (scene-qa/…-detector)"
            )
    prefix = "scene."
    weights = {name.removeprefix(prefix): value for name, value in stored.weights.items() if name.startswith(prefix)}
    with stored.building():
        detector = build_detector(theirs, torch.ones(len(BOX_CLASSES), 3))  # the sizes are among the weights
        load_trainable_state_dict(detector, weights, {})
    return detector
