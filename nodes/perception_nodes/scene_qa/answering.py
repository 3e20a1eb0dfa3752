"""One question asked of a model: whether its texts can be read, the ranked answers, and the evidence."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from perception.encoders.text import LstmText
from perception.encoders.votenet import Detections
from perception.models.scene_answerer import SceneAnswerer
from perception.scenes.classes import BOX_CLASSES
from perception.texts.answers import AnswerVocabulary
from perception.texts.vocabulary import MAX_WORDS, split_words
from perception_nodes.scene_qa.encoding import EncodedScene
from perception_nodes.scene_qa.question import AnswerMode, AskedQuestion, Evidence, GivenAnswer, Status
from perception_nodes.scene_qa.settings import SceneQaSettings

NAMED_WORDS = 5
"""Maximum number of unknown words that a reason names."""


class NotAnswered(Exception):
    """Ends the work on a question."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def notes_on(model: SceneAnswerer, question: AskedQuestion, settings: SceneQaSettings) -> list[str]:
    """Returns what of a question's texts is not read.

    Raises:
        NotAnswered: The texts are empty, too long, in another language, or without a known word.
    """
    most, language = settings.max_characters, settings.language
    notes = []
    for name, text in (("question", question.question), ("situation", question.situation)):
        if len(text) > most:
            raise NotAnswered(Status.ERROR, f"the {name} has {len(text)} characters; expected at most {most}")
        if len(split_words(text)) > MAX_WORDS:
            notes.append(f"only the first {MAX_WORDS} words of the {name} were read")
    if not question.question.strip():
        raise NotAnswered(Status.ERROR, "the question is empty")
    if question.language and question.language.split("-")[0].lower() != language:
        raise NotAnswered(Status.NO_ANSWER, f"the question is in {question.language!r}; this model reads {language!r}")
    return notes + _unknown_words(model, question)


def answer_of(
    model: SceneAnswerer,
    answers: AnswerVocabulary,
    scene: EncodedScene,
    question: AskedQuestion,
    notes: Sequence[str],
    settings: SceneQaSettings,
) -> GivenAnswer:
    """Returns a model's answer to a question about a scene; latency and name of the model are left to the node.

    Args:
        model: The model.
        answers: The answers of its classes.
        scene: The scene.
        question: The question.
        notes: Notes from `notes_on`.
        settings: How many alternatives and boxes are named, and which confidence is enough.

    Raises:
        NotAnswered: The model's scores are not finite, or it knows none of the wanted answers.
    """
    result = model.ask(scene.tokens, [question.situation], [question.question])
    scores = result.probabilities[0]
    if not scores.isfinite().all():
        raise NotAnswered(Status.ERROR, "the model's scores are not finite")
    ranked = _rank(scores, answers, question.mode)
    answer, confidence = ranked[0]
    why_not = _why_not(answer, confidence, float(scores[-1]), settings.min_confidence)
    first_other = 0 if why_not else 1
    boxes: tuple[Evidence, ...] = ()
    if question.mode is AnswerMode.WITH_EVIDENCE and result.evidence is not None:
        boxes = _evidence(result.evidence[0], scene.tokens.detections, settings.evidence)
    return GivenAnswer(
        question.id,
        Status.NO_ANSWER if why_not else Status.OK,
        "; ".join([why_not, *notes] if why_not else notes),
        answer="" if why_not else answer,
        confidence=confidence,
        alternatives=tuple(ranked[first_other : first_other + settings.alternatives]),
        evidence=boxes,
        scene_version=scene.snapshot.version,
        scene_stamp_ns=scene.snapshot.stamp_ns,
    )


def _why_not(answer: str, confidence: float, unknown: float, min_confidence: float) -> str:
    """Returns why the likeliest answer is not given; empty if it is."""
    if unknown > confidence:
        return "the likeliest answer is none that the model can name"
    if confidence < min_confidence:
        return f"not certain enough: {confidence:.3f} for {answer!r}"
    return ""


def _unknown_words(model: SceneAnswerer, question: AskedQuestion) -> list[str]:
    """Returns a note of words that the model does not know; refuses a question of such words alone."""
    if not isinstance(model.text, LstmText):
        return []  # a tokenizer of word pieces knows some pieces of every word
    vocabulary = model.text.vocabulary
    unknown = vocabulary.unknown_words(question.question)
    if len(unknown) == len(split_words(question.question, vocabulary.rule)):
        raise NotAnswered(Status.NO_ANSWER, f"no word of the question is known: {', '.join(unknown[:NAMED_WORDS])}")
    unknown += vocabulary.unknown_words(question.situation) if model.with_situation else []
    return [f"words that are not known: {', '.join(unknown[:NAMED_WORDS])}"] if unknown else []


def _rank(scores: Float[Tensor, " answers"], answers: AnswerVocabulary, mode: AnswerMode) -> list[tuple[str, float]]:
    """Returns answers with their confidences, the likeliest first, without the unknown one, as an evaluation does."""
    words = answers.answers
    if mode is AnswerMode.YES_NO:
        words = tuple(word for word in ("yes", "no") if word in answers)
        if not words:
            raise NotAnswered(Status.NO_ANSWER, "the model knows neither yes nor no")
    chosen = scores[[answers.class_of(word) for word in words]]
    order = chosen.argsort(descending=True, stable=True).tolist()
    return [(words[i], float(chosen[i])) for i in order]


def _evidence(weights: Float[Tensor, " proposals"], found: Detections, count: int) -> tuple[Evidence, ...]:
    """Returns the proposals with the largest weights."""
    best = weights.topk(min(count, int((weights > 0).sum())))
    labels, boxes = found.class_scores[0].argmax(-1).tolist(), found.boxes[0].cpu().numpy()
    return tuple(
        Evidence(i, BOX_CLASSES[labels[i]], weight, boxes[i])
        for i, weight in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )
