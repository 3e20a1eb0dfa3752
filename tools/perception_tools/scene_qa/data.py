"""Scenes with some of their questions, for training: a scene is sampled and encoded once for many questions.

Everything random is a function of (seed, pass, group of questions), never of a generator's past, so a run that is
killed and resumed sees what an unbroken run sees, and so do any number of processes together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from perception.batches import TensorRecord
from perception.errors import InputError
from perception.losses.answer import AnswerTargets
from perception.models.scene_answerer import SceneInput
from perception.scenes.motion import SceneMotion, random_motion
from perception.scenes.sample import SceneBatch, SceneSample, collate_scenes
from perception.scenes.scene import Scene, SceneQuestion
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import TextBatch, Vocabulary
from perception_datasets.stores.scenes import StoredScans
from perception_tools.scene_qa.recipes import SceneQaRecipe
from perception_tools.training.loaders import KeptRecords
from perception_tools.training.sampler import Key

KEEP = 20_000_000
"""Number of points of scenes that stay in memory by default, some 0.6 GB."""


@dataclass(frozen=True)
class QuestionGroup:
    """A scene as one step sees it, and some of the questions about it.

    Attributes:
        scene: None for a model that answers blindly.
        questions: Moved and mirrored with the scene.
    """

    scene: SceneSample | None
    questions: tuple[SceneQuestion, ...]


@dataclass(frozen=True)
class SceneQaBatch(TensorRecord):
    """Scenes and the questions about them.

    Attributes:
        scenes: None for a model that answers blindly.
        situations: Situation of every question.
        questions: In words.
        scene_of_question: Which scene each is about.
        targets: What should be answered.
    """

    scenes: SceneBatch | None
    situations: TextBatch
    questions: TextBatch
    scene_of_question: Int[Tensor, " questions"]
    targets: AnswerTargets

    def __len__(self) -> int:
        return len(self.scene_of_question)


@dataclass(frozen=True)
class Collator:
    """Groups to a batch, answers and words to their numbers."""

    vocabulary: Vocabulary
    answers: AnswerVocabulary

    def __call__(self, groups: Sequence[QuestionGroup]) -> SceneQaBatch:
        """Questions one after the other, in the order of their scenes."""
        samples = [group.scene for group in groups if group.scene is not None]
        questions = [question for group in groups for question in group.questions]
        return SceneQaBatch(
            scenes=collate_scenes(samples) if samples else None,
            situations=self.vocabulary.encode([question.situation for question in questions]),
            questions=self.vocabulary.encode([question.question for question in questions]),
            scene_of_question=torch.repeat_interleave(torch.tensor([len(group.questions) for group in groups])),
            targets=self._targets(questions),
        )

    def _targets(self, questions: Sequence[SceneQuestion]) -> AnswerTargets:
        """Every true answer counts in full: SQA3D's weights by frequency (0.3, 0.6, 0.9 for rare ones) are left out."""
        scores = torch.zeros(len(questions), len(self.answers))
        viewpoints = torch.zeros(len(questions), 7)
        for row, question in enumerate(questions):
            scores[row, [self.answers.class_of(answer) for answer in question.answers]] = 1
            if question.viewpoint is not None:
                viewpoints[row, :3] = torch.from_numpy(question.viewpoint.position)
                viewpoints[row, 3:] = torch.from_numpy(question.viewpoint.rotation)
        located = torch.tensor([question.viewpoint is not None for question in questions], dtype=torch.bool)
        return AnswerTargets(scores, viewpoints[:, :3], viewpoints[:, 3:], located)


@dataclass(frozen=True)
class Part:
    """One group of a scene's questions."""

    scene_id: str
    number: int


class TrainingGroups(Dataset[QuestionGroup]):
    """Each question once a pass: those of a scene in an order of the pass, cut into groups, with the scene moved.

    Args:
        scans: Where the scenes are.
        questions: To learn from.
        input: Shows scenes to the model; None for one that answers blindly.
        recipe: Augmentation and sizes.
        keep: Number of points of scenes that stay in memory; other scenes are read every time.
    """

    def __init__(
        self,
        scans: StoredScans,
        questions: Sequence[SceneQuestion],
        input: SceneInput | None,
        recipe: SceneQaRecipe,
        keep: int = KEEP,
    ) -> None:
        self.recipe, self._input = recipe, input
        self._scans = scans
        self._scenes = KeptRecords(self._read, keep, lambda scene: len(scene.points))
        self.questions_of = by_scene(questions)
        self.number_of = {name: number for number, name in enumerate(sorted(self.questions_of))}
        size = recipe.questions_per_scene
        self.parts = [
            Part(name, number) for name, asked in self.questions_of.items() for number in range(-(-len(asked) // size))
        ]

    def _read(self, name: str) -> Scene:
        return self._scans.read(name).scene

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, key: Key) -> QuestionGroup:
        """A group of a pass."""
        recipe, part = self.recipe, self.parts[key.index]
        number, asked = self.number_of[part.scene_id], self.questions_of[part.scene_id]
        order = np.random.default_rng((recipe.seed, key.data_pass, number)).permutation(len(asked))
        first = part.number * recipe.questions_per_scene
        questions = [asked[i] for i in order[first : first + recipe.questions_per_scene]]
        rng = np.random.default_rng((recipe.seed, key.data_pass, number, part.number))
        motion = random_motion(rng, mirror=recipe.mirror, quarter_turns=recipe.turns == "quarter")
        moved = tuple(move_question(question, motion) for question in questions)
        scene = None if self._input is None else self._input.prepare(self._scenes[part.scene_id], rng, motion)
        return QuestionGroup(scene, moved)


class ValidationGroups(Dataset[QuestionGroup]):
    """Each scene with all its questions, as it stands.

    Args:
        scans: Where the scenes are.
        questions: To answer.
        input: Shows scenes to the model; None for one that answers blindly.
    """

    def __init__(self, scans: StoredScans, questions: Sequence[SceneQuestion], input: SceneInput | None) -> None:
        self.scans, self._input = scans, input
        self.groups = list(by_scene(questions).items())

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> QuestionGroup:
        """A scene of the split."""
        name, questions = self.groups[index]
        scene = None if self._input is None else self._input.prepare(self.scans.read(name).scene)
        return QuestionGroup(scene, tuple(questions))


def by_scene(questions: Sequence[SceneQuestion]) -> dict[str, list[SceneQuestion]]:
    """Questions by the scene they are about, in the order in which scenes come first."""
    found: dict[str, list[SceneQuestion]] = {}
    for question in questions:
        found.setdefault(question.scene_id, []).append(question)
    return found


def first_scenes(
    questions: Sequence[SceneQuestion], limit: int | None, split: str | None = None
) -> list[SceneQuestion]:
    """Returns the questions about the first `limit` scenes; the split is named where there are none.

    Raises:
        InputError: There are none.
    """
    names = set(list(by_scene(questions))[:limit])
    kept = [question for question in questions if question.scene_id in names]
    if not kept:
        asked = "questions" if split is None else f"questions of split {split!r}"
        raise InputError(
            f"{asked}: expected at least one whose scene is in the store, got none; prepare more of them, or name "
            "another split"
        )
    return kept


def move_question(question: SceneQuestion, motion: SceneMotion) -> SceneQuestion:
    """A question asked in a scene that was moved; where it was mirrored, left and right change places in its texts."""
    viewpoint = question.viewpoint and motion.apply_to_viewpoint(question.viewpoint)
    if np.linalg.det(motion.linear) > 0:
        return replace(question, viewpoint=viewpoint)
    return replace(
        question,
        viewpoint=viewpoint,
        situation=exchange_sides(question.situation),
        question=exchange_sides(question.question),
        answers=tuple(exchange_sides(answer) for answer in question.answers),
    )


_SIDE = re.compile(r"\b(left|right)\b(?!\s+(?:behind|before|in front|next|beside|by|here|there|now|away|at)\b)", re.I)
_OTHER_SIDE = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}


def exchange_sides(text: str) -> str:
    """A text with left and right exchanged, but for "right behind me" and the like."""
    return _SIDE.sub(lambda side: _OTHER_SIDE.get(side[0], side[0]), text)
