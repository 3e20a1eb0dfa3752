"""Scenes and questions for training: each question once a pass, moved with its scene, the same after a resume."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception.scenes.motion import SceneMotion
from perception.scenes.scene import SceneQuestion
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import Vocabulary
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import StoredScans, open_scene_store
from perception_tools.scene_qa import data
from perception_tools.scene_qa.data import (
    Collator,
    TrainingGroups,
    ValidationGroups,
    by_scene,
    exchange_sides,
    first_scenes,
    move_question,
)
from perception_tools.scene_qa.model import scene_input
from perception_tools.scene_qa.recipes import SceneQaRecipe
from perception_tools.training.sampler import Key

MIRROR = SceneMotion(np.diag([1.0, -1.0, 1.0]), np.zeros(3))


@pytest.fixture(scope="session")
def scans(rooms_store: Path) -> StoredScans:
    return open_scene_store(rooms_store)


@pytest.fixture(scope="session")
def questions(rooms_store: Path) -> list[SceneQuestion]:
    return first_scenes(read_questions(rooms_store, "train"), 2)


@pytest.fixture(scope="session")
def groups(scans: StoredScans, questions: list[SceneQuestion], tiny_answerer: SceneQaRecipe) -> TrainingGroups:
    return TrainingGroups(scans, questions, scene_input(tiny_answerer), tiny_answerer)


def test_a_pass_asks_every_question_once_and_another_pass_in_another_order(groups, questions) -> None:
    passes = [[q.id for i in range(len(groups)) for q in groups[Key(i, p)].questions] for p in (0, 1)]
    assert [Counter(ids) for ids in passes] == [Counter(q.id for q in questions)] * 2
    assert passes[0] != passes[1]


def test_a_group_is_the_same_whenever_it_is_asked_for(groups, scans, questions, tiny_answerer) -> None:
    again = TrainingGroups(scans, questions, scene_input(tiny_answerer), tiny_answerer, keep=0)
    ours, theirs = groups[Key(1, 4)], again[Key(1, 4)]
    assert [q.question for q in ours.questions] == [q.question for q in theirs.questions]
    assert ours.scene is not None
    assert theirs.scene is not None
    np.testing.assert_array_equal(ours.scene.points, theirs.scene.points)
    other = groups[Key(1, 5)].scene
    assert other is not None
    assert not np.array_equal(ours.scene.points, other.points)


def test_a_blind_model_gets_no_scene(scans, questions, tiny_answerer) -> None:
    recipe = replace(tiny_answerer, blind=True)
    batch = Collator(Vocabulary(("is",)), AnswerVocabulary(("yes",)))(
        [TrainingGroups(scans, questions, None, recipe)[Key(0, 0)]]
    )
    assert batch.scenes is None
    assert len(batch) == recipe.questions_per_scene


def test_a_scene_that_does_not_move_is_sampled_alike_every_time(scans, questions, tiny_answerer) -> None:
    first, again = (ValidationGroups(scans, questions, scene_input(tiny_answerer))[1].scene for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.points, again.points)
    stored = scans.read(questions[-1].scene_id).scene
    assert {tuple(p) for p in first.points} <= {tuple(p) for p in stored.points}


def test_a_batch_holds_answers_places_and_which_scene_each_question_is_of(groups, questions) -> None:
    answers = AnswerVocabulary(("yes", "no"))
    members = [groups[Key(0, 0)], groups[Key(len(groups) - 1, 0)]]
    batch = Collator(Vocabulary.of_texts(q.question for q in questions), answers)(members).to("cpu")
    asked = [q for group in members for q in group.questions]
    assert batch.scene_of_question.tolist() == [0] * len(members[0].questions) + [1] * len(members[1].questions)
    for row, question in enumerate(asked):
        right = batch.targets.scores[row].nonzero().flatten().tolist()
        assert right == [answers.class_of(question.answers[0])]
        assert question.viewpoint is not None
        np.testing.assert_allclose(batch.targets.positions[row], question.viewpoint.position, atol=1e-6)
    assert batch.targets.located.all()
    assert batch.scenes is not None
    assert batch.scenes.points.shape[0] == 2


def test_a_question_without_a_viewpoint_is_not_located(questions) -> None:
    group = data.QuestionGroup(None, (replace(questions[0], viewpoint=None), questions[1]))
    batch = Collator(Vocabulary(()), AnswerVocabulary(("yes",)))([group])
    assert batch.targets.located.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("There is a chair on my left.", "There is a chair on my right."),
        ("Right or left?", "Left or right?"),
        ("a table right behind me", "a table right behind me"),
        ("Is the leftover bright?", "Is the leftover bright?"),
        ("the door to my right, right in front of the bed", "the door to my left, right in front of the bed"),
    ],
)
def test_left_and_right_change_places_where_they_are_sides(text: str, mirrored: str) -> None:
    assert exchange_sides(text) == mirrored
    assert exchange_sides(mirrored) == text


def test_a_mirrored_question_is_about_the_mirrored_scene(questions) -> None:
    question = next(q for q in questions if q.answers == ("left",))
    mirrored = move_question(question, MIRROR)
    assert mirrored.answers == ("right",)
    assert question.viewpoint is not None
    assert mirrored.viewpoint is not None
    np.testing.assert_allclose(mirrored.viewpoint.forward, question.viewpoint.forward * [1, -1, 1], atol=1e-9)
    assert move_question(mirrored, MIRROR).situation == question.situation


def test_scenes_stay_in_memory_as_long_as_there_is_room_for_their_points(
    scans, questions, tiny_answerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    read = StoredScans.read

    def counted(self: StoredScans, name: str):
        reads[name] += 1
        return read(self, name)

    monkeypatch.setattr(StoredScans, "read", counted)
    one, other = by_scene(questions)
    points = len(read(scans, one).scene.points)
    groups = TrainingGroups(scans, questions, scene_input(tiny_answerer), tiny_answerer, keep=points)
    first_parts = [next(i for i, part in enumerate(groups.parts) if part.scene_id == name) for name in (one, other)]
    for data_pass in (0, 1):
        for part in first_parts:
            groups[Key(part, data_pass)]
    assert reads == {one: 1, other: 2}


def test_a_limit_counts_scenes(rooms_store: Path) -> None:
    questions = read_questions(rooms_store, "train")
    assert len(by_scene(first_scenes(questions, 3))) == 3
    assert first_scenes(questions, None) == questions
    with pytest.raises(InputError, match="expected at least one"):
        first_scenes([], None)


def test_unknown_words_and_answers_have_a_number_too() -> None:
    group = data.QuestionGroup(None, (SceneQuestion(1, "s", "", "zebra?", ("stripes",), None),))
    batch = Collator(Vocabulary(("is",)), AnswerVocabulary(("yes", "no")))([group])
    torch.testing.assert_close(batch.targets.scores, torch.tensor([[0.0, 0.0, 1.0]]))
    assert batch.questions.ids.tolist() == [[0, 0]]
