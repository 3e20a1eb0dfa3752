"""How a scene answerer learns: its losses, its rates, and what learns at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perception.encoders.text import LstmText
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import Vocabulary
from perception_datasets.stores.questions import read_questions
from perception_datasets.stores.scenes import open_scene_store
from perception_tools.scene_qa.data import Collator, SceneQaBatch, ValidationGroups, first_scenes
from perception_tools.scene_qa.learning import SceneQaTask
from perception_tools.scene_qa.model import KnownWords, build_answerer, scene_input
from perception_tools.scene_qa.recipes import SceneQaRecipe
from perception_tools.training.optim import parameter_groups

SIZES = torch.ones(18, 3)


@pytest.fixture(scope="session")
def words(rooms_store: Path) -> KnownWords:
    questions = first_scenes(read_questions(rooms_store, "train"), 2)
    vocabulary = Vocabulary.of_texts(text for q in questions for text in (q.situation, q.question))
    return KnownWords(vocabulary, AnswerVocabulary(tuple({q.answers[0]: None for q in questions})))


@pytest.fixture(scope="session")
def batch(rooms_store: Path, words: KnownWords, tiny_answerer: SceneQaRecipe) -> SceneQaBatch:
    scans, shown = open_scene_store(rooms_store), scene_input(tiny_answerer)
    groups = ValidationGroups(scans, read_questions(rooms_store, "train"), shown)
    return Collator(words.vocabulary, words.answers)([groups[0], groups[1]])


def make_task(recipe: SceneQaRecipe, words: KnownWords) -> SceneQaTask:
    return SceneQaTask(recipe, build_answerer(recipe, words, SIZES))


def loss_of(recipe: SceneQaRecipe, words: KnownWords, batch: SceneQaBatch):
    return make_task(recipe, words)._loss(batch)


def test_options_leave_out_what_they_say(tiny_answerer: SceneQaRecipe, words: KnownWords, batch: SceneQaBatch) -> None:
    full = loss_of(tiny_answerer, words, batch)
    assert full.detection is not None
    assert full.viewpoint is not None
    assert loss_of(replace(tiny_answerer, detection_loss=False), words, batch).detection is None
    plain = replace(tiny_answerer, grounded=False)
    assert loss_of(plain, words, batch).viewpoint is not None
    assert loss_of(replace(plain, viewpoint_loss=False), words, batch).viewpoint is None
    blind = loss_of(replace(tiny_answerer, blind=True), words, replace(batch, scenes=None))
    assert (blind.detection, blind.viewpoint) == (None, None)


def test_an_unread_situation_does_not_matter(
    tiny_answerer: SceneQaRecipe, words: KnownWords, batch: SceneQaBatch
) -> None:
    other = replace(batch, situations=words.vocabulary.encode(["the bed"] * len(batch)))
    for recipe, matters in ((tiny_answerer, True), (replace(tiny_answerer, without_situation=True), False)):
        model = build_answerer(recipe, words, SIZES).eval()
        assert batch.scenes is not None
        seen = model.encode_scene(batch.scenes.points, batch.scenes.features)
        ours, theirs = (
            model.answer(seen, b.situations, b.questions, b.scene_of_question).logits for b in (batch, other)
        )
        assert torch.equal(ours, theirs) != matters


def test_given_word_vectors_are_not_trained(tiny_answerer: SceneQaRecipe, words: KnownWords) -> None:
    vectors = torch.randn(len(words.vocabulary), 5)
    model = build_answerer(tiny_answerer, replace(words, vectors=vectors), SIZES)
    assert isinstance(model.text, LstmText)
    assert torch.equal(model.text.words.weight, vectors)
    trained = {id(p) for group in parameter_groups(model, {}, tiny_answerer) for p in group["params"]}
    assert id(model.text.words.weight) not in trained
    assert {id(p) for p in model.parameters() if p.requires_grad} == trained


def test_block_and_detector_may_learn_at_their_own_rates(tiny_answerer: SceneQaRecipe, words: KnownWords) -> None:
    block = replace(tiny_answerer.block, learning_rate_multiplier=0.1)
    own = replace(tiny_answerer.optimizer, group_rates={"detector": 2.0})
    task = make_task(replace(tiny_answerer, block=block, optimizer=own), words)
    groups = parameter_groups(task.model, task.parameter_groups(), task.recipe)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert task.model.block is not None
    assert task.model.scene is not None
    for part, factor in ((task.model.block.project_in, 0.1), (task.model.scene, 2.0), (task.model.fusion, 1.0)):
        assert {rates[id(p)] for p in part.parameters()} == {factor * tiny_answerer.learning_rate}
    biases = [g for g in groups if all(p.ndim < 2 for p in g["params"])]
    assert {g["weight_decay"] for g in biases} == {0.0}


def test_a_blind_model_has_neither_group(tiny_answerer: SceneQaRecipe, words: KnownWords) -> None:
    assert make_task(replace(tiny_answerer, blind=True), words).parameter_groups() == {}


def test_it_learns_a_few_questions_by_heart(
    tiny_answerer: SceneQaRecipe, words: KnownWords, batch: SceneQaBatch
) -> None:
    task = make_task(replace(tiny_answerer, detection_loss=False), words)
    optimizer = torch.optim.AdamW(task.parameters(), 1e-2)
    losses = []
    for _ in range(25):
        loss = task._loss(batch)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        losses.append(float(loss.answer.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_the_detectors_large_gradient_leaves_that_of_the_rest_alone(
    tiny_answerer: SceneQaRecipe, words: KnownWords
) -> None:
    task = make_task(tiny_answerer, words)
    weights = dict(task.model.named_parameters())
    detector, text = weights["scene.vote.1.weight"], weights["text_in.0.weight"]
    detector.grad, text.grad = torch.full_like(detector, 100.0), torch.full_like(text, 1e-4)
    task.configure_gradient_clipping(torch.optim.SGD(task.parameters()), 1.0)
    assert float(detector.grad.norm()) == pytest.approx(1, rel=1e-4)
    assert (text.grad == 1e-4).all()
