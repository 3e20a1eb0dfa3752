from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.models.scene_answerer import SceneAnswerer
from perception.scenes.classes import BOX_CLASSES
from perception.scenes.sample import FIXED_SAMPLE_SEED, collate_scenes, sample_scene
from perception.scenes.scene import Scene
from perception.texts.answers import AnswerVocabulary
from perception_nodes.scene_qa.answering import NotAnswered, answer_of, notes_on
from perception_nodes.scene_qa.encoding import EncodedScene, encode_snapshot
from perception_nodes.scene_qa.question import AnswerMode, AskedQuestion, GivenAnswer, Status
from perception_nodes.scene_qa.scene_map import SceneSnapshot
from perception_nodes.scene_qa.settings import SceneQaSettings

ANSWERS = AnswerVocabulary(("bed", "yes", "chair", "no"))
QUESTIONS = ["What is left of me?", "Is it red?", "How many chairs are here?", "Is the bed left?"]
SITUATION = "I face the bed."


@pytest.fixture(scope="module")
def encoded(scene_answerer: SceneAnswerer, scan: Scene) -> EncodedScene:
    snapshot = SceneSnapshot.of_scene(scan, 100 * 10**9)
    return EncodedScene(snapshot, encode_snapshot(scene_answerer, snapshot))


@torch.inference_mode()
def ask(
    model: SceneAnswerer,
    scene: EncodedScene,
    question: str = QUESTIONS[0],
    situation: str = SITUATION,
    answers: AnswerVocabulary = ANSWERS,
    bounds: SceneQaSettings = SceneQaSettings(),  # noqa: B008
    **options,
) -> GivenAnswer:
    asked = AskedQuestion("q", question, situation, **options)
    return answer_of(model, answers, scene, asked, notes_on(model, asked, bounds), bounds)


def test_answers_are_those_of_the_model_offline(
    scene_answerer: SceneAnswerer, scan: Scene, encoded: EncodedScene
) -> None:
    batch = collate_scenes(
        [sample_scene(scan, np.random.default_rng(FIXED_SAMPLE_SEED), count=scene_answerer.input.points)]
    )
    texts = scene_answerer.text.batch([SITUATION] * 4), scene_answerer.text.batch(QUESTIONS)
    with torch.inference_mode():
        expected, seen = scene_answerer(batch.points, batch.features, *texts)
    assert expected.evidence is not None
    assert seen is not None
    given = [ask(scene_answerer, encoded, text, mode=AnswerMode.WITH_EVIDENCE) for text in QUESTIONS]
    assert len({answer.confidence for answer in given}) == 4
    for row, answer in enumerate(given):
        scores = expected.probabilities[row]
        ranked = [(ANSWERS.answer_of(i), float(scores[i])) for i in scores[:-1].argsort(descending=True).tolist()]
        given_first = () if answer.status is Status.NO_ANSWER else ((answer.answer, answer.confidence),)
        assert answer.status is (Status.NO_ANSWER if scores[-1] > ranked[0][1] else Status.OK)
        names, shares = zip(*given_first, *answer.alternatives, strict=True)
        assert names == tuple(name for name, _ in ranked)
        np.testing.assert_allclose(shares, [share for _, share in ranked], atol=1e-6)
        for evidence in answer.evidence:
            assert evidence.score == pytest.approx(expected.evidence[row, evidence.proposal].item(), abs=1e-6)
            np.testing.assert_allclose(evidence.box, seen.detections.boxes[0, evidence.proposal])
            kind = int(seen.detections.class_scores[0, evidence.proposal].argmax())
            assert evidence.label == BOX_CLASSES[kind]
        assert [e.score for e in answer.evidence] == sorted((e.score for e in answer.evidence), reverse=True)
        assert sum(e.score for e in answer.evidence) == pytest.approx(1)


def test_no_more_is_named_than_is_wanted(scene_answerer: SceneAnswerer, encoded: EncodedScene) -> None:
    few = SceneQaSettings(alternatives=1, evidence=1)
    answer = ask(scene_answerer, encoded, bounds=few, mode=AnswerMode.WITH_EVIDENCE)
    assert (len(answer.alternatives), len(answer.evidence)) == (1, 1)
    assert ask(scene_answerer, encoded).evidence == ()


@pytest.mark.parametrize(
    ("question", "situation", "status", "reason"),
    [
        ("", "I stand.", Status.ERROR, "the question is empty"),
        (" \n\t", "", Status.ERROR, "the question is empty"),
        ("what " * 201, "", Status.ERROR, "the question has 1005 characters; expected at most 1000"),
        ("what?", "x" * 1001, Status.ERROR, "the situation has 1001 characters; expected at most 1000"),
        ("zebra zebu", "I stand.", Status.NO_ANSWER, "no word of the question is known: zebra, zebu"),
        ("\x00\ud800", "", Status.NO_ANSWER, "no word of the question is known"),
    ],
)
def test_a_text_that_cannot_be_answered_says_why(
    scene_answerer: SceneAnswerer, question: str, situation: str, status: Status, reason: str
) -> None:
    with pytest.raises(NotAnswered) as refused:
        notes_on(scene_answerer, AskedQuestion("q", question, situation), SceneQaSettings())
    assert refused.value.status is status
    assert refused.value.reason.startswith(reason)


def test_unknown_and_superfluous_words_are_named_but_no_obstacle(
    scene_answerer: SceneAnswerer, encoded: EncodedScene
) -> None:
    answer = ask(scene_answerer, encoded, "what zebra is left of me ?", "I face the zebu .")
    assert (answer.status, answer.reason) == (Status.OK, "words that are not known: zebra, zebu")
    long, cut = (ask(scene_answerer, encoded, "is it " * count, "") for count in (51, 50))
    assert long.reason == "only the first 100 words of the question were read"
    assert (long.answer, long.confidence, cut.reason) == (cut.answer, cut.confidence, "")
    assert ask(scene_answerer, encoded, situation="").status is Status.OK


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_answered_or_refused_with_a_reason(
    scene_answerer: SceneAnswerer, encoded: EncodedScene, question: str, situation: str
) -> None:
    answer: GivenAnswer | None = None
    refused: NotAnswered | None = None
    try:
        answer = ask(scene_answerer, encoded, question, situation)
    except NotAnswered as error:
        refused = error
    if answer is not None:
        assert answer.status in (Status.OK, Status.NO_ANSWER)
        assert (answer.answer != "") == (answer.status is Status.OK)
        assert answer.reason or answer.status is Status.OK
    else:
        assert refused is not None
        assert refused.status in (Status.NO_ANSWER, Status.ERROR)
        assert refused.reason


def test_yes_or_no_is_chosen_where_that_is_asked(scene_answerer: SceneAnswerer, encoded: EncodedScene) -> None:
    answer, free = ask(scene_answerer, encoded, mode=AnswerMode.YES_NO), ask(scene_answerer, encoded)
    named = {answer.answer, *(name for name, _ in answer.alternatives)}
    assert named == {"yes", "no"}
    confidence = dict([(free.answer, free.confidence), *free.alternatives])
    assert answer.confidence == max(confidence["yes"], confidence["no"])
    neither = AnswerVocabulary(("a", "b", "c", "d"))
    with pytest.raises(NotAnswered, match="the model knows neither yes nor no"):
        ask(scene_answerer, encoded, answers=neither, mode=AnswerMode.YES_NO)


def test_a_model_is_not_asked_in_a_language_that_it_does_not_read(
    scene_answerer: SceneAnswerer, encoded: EncodedScene
) -> None:
    assert ask(scene_answerer, encoded, language="en-GB").status is Status.OK
    with pytest.raises(NotAnswered, match="the question is in 'de'; this model reads 'en'") as refused:
        ask(scene_answerer, encoded, language="de")
    assert refused.value.status is Status.NO_ANSWER


def test_an_uncertain_or_unknown_answer_is_not_given(scene_answerer: SceneAnswerer, encoded: EncodedScene) -> None:
    answer = ask(scene_answerer, encoded, bounds=SceneQaSettings(min_confidence=1.1))
    assert (answer.status, answer.answer) == (Status.NO_ANSWER, "")
    assert answer.reason.startswith("not certain enough: 0.")
    assert answer.confidence == answer.alternatives[0][1]
    model = deepcopy(scene_answerer)
    last = model.answer_head[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias[len(ANSWERS) - 1] += 100
    answer = ask(model, encoded)
    assert (answer.status, answer.reason) == (Status.NO_ANSWER, "the likeliest answer is none that the model can name")


def test_scores_that_are_not_finite_are_no_answer(scene_answerer: SceneAnswerer, encoded: EncodedScene) -> None:
    model = deepcopy(scene_answerer)
    for parameter in model.answer_head.parameters():
        parameter.requires_grad_(False).fill_(torch.nan)
    with pytest.raises(NotAnswered, match="the model's scores are not finite") as refused:
        ask(model, encoded)
    assert refused.value.status is Status.ERROR
