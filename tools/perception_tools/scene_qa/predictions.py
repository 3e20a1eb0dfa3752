"""Anybody's predictions for questions about scenes, in the formats that the field writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perception.errors import InputError
from perception.metrics.answer_matching import clean_answer
from perception.scenes.scene import Viewpoint
from perception_datasets.sqa3d.questions import Sqa3dQuestion
from perception_tools.answer_files.content import CURE, Record, brief, read_content
from perception_tools.answer_files.formats import (
    SCENE_FIELDS,
    FieldChoice,
    Ids,
    ReadingPlan,
    field_value,
    plan_reading,
    shown_fields,
)
from perception_tools.answer_files.values import ranked_answers, viewpoint
from perception_tools.scene_qa.matching import match_questions

_READ_BESIDE = {"position", "rotation"}
_READ_TO_MATCH: dict[Ids, set[str]] = {
    "question": set(),
    "place": {"target"},
    "text": {*SCENE_FIELDS, "situation", "question", "instruction", "prompt"},
}


@dataclass
class AnswerPredictions:
    """Predictions of one system.

    Attributes:
        answers: Ranked, the best first, by question id; without outer spaces. Empty where the file says null.
        viewpoints: Where it believes the asker to stand, in the frame of the annotations; for questions that have it.
        notes: What a reader of the scores must know about how the file was read, one sentence each.
    """

    answers: dict[int, tuple[str, ...]] = field(default_factory=dict)
    viewpoints: dict[int, Viewpoint] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_predictions(
    path: Path, questions: Sequence[Sqa3dQuestion], choice: FieldChoice | None = None, *, clean: bool = False
) -> AnswerPredictions:
    """Reads a file of answers; its content tells the format, whatever its name.

    The same answer to a question twice is taken once, as samplers of parallel inference repeat questions. A record
    may also hold `position` [x, y, z] and `rotation` [x, y, z, w] of the asker.

    Args:
        path: File of answers.
        questions: All questions of the split that was predicted, in the order of the question file.
        choice: Fields that the user named.
        clean: Whether to remove what language models write around an answer.

    Raises:
        InputError: The file is malformed or of an unknown format, it is not clear what was predicted, or a question
            that was not asked is answered, or one is answered in two ways.
    """
    content = read_content(path)
    records = content.records
    if not records:
        raise InputError(f"{path}: expected answers, found none; {CURE}")
    plan = plan_reading(path, records, choice or FieldChoice())
    ids, matching_notes = match_questions(path, records, plan, questions)
    predictions = AnswerPredictions()
    repeated = content.repeated_keys
    for number, record in zip(ids, records, strict=True):
        repeated += _take(predictions, number, record, plan)
    sentences = [_fields_sentence(records, plan), *matching_notes]
    if repeated:
        sentences.append(f"repeated with the same value: {repeated:,} questions or fields; each counts once.")
    if clean:
        predictions.answers = {
            number: tuple(map(clean_answer, ranked)) for number, ranked in predictions.answers.items()
        }
    predictions.notes = [f"{path.name}: {sentence}" for sentence in sentences if sentence]
    return predictions


def _take(predictions: AnswerPredictions, number: int, record: Record, plan: ReadingPlan) -> bool:
    """Takes one record in; returns whether its question was answered before."""
    answers = ranked_answers(record.where, plan.answer, field_value(record, plan.answer))
    guess = viewpoint(record.where, record.fields)
    known = number in predictions.answers
    if known and predictions.answers[number] != answers:
        raise InputError(
            f"{record.where}: expected one prediction a question, found {brief(answers)} for question {number}, which "
            f"was answered {brief(predictions.answers[number])} before; keep one"
        )
    predictions.answers[number] = answers
    if guess is not None:
        predictions.viewpoints[number] = guess
    return known


def _fields_sentence(records: Sequence[Record], plan: ReadingPlan) -> str | None:
    """Which field was read as the answer, and which were not read; None where there are no others."""
    read = {plan.answer.split(".")[0], (plan.id or "").split(".")[0], *_READ_BESIDE, *_READ_TO_MATCH[plan.ids]}
    unread = dict.fromkeys(name for record in records for name in record.fields if name not in read)
    if not unread:
        return None
    written = f"as {plan.format} writes it, " if plan.format else ""
    return f"read {written}the answer in {plan.answer}; not read: {shown_fields(unread)}."
