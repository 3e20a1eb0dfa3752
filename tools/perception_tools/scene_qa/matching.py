"""From records to the questions that they answer: by id, by place in the question file, or by text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from perception.errors import InputError, first_of
from perception_datasets.sqa3d.questions import Sqa3dQuestion
from perception_tools.answer_files.content import Record, brief
from perception_tools.answer_files.formats import (
    SCENE_FIELDS,
    ReadingPlan,
    field_value,
    shown_fields,
)
from perception_tools.answer_files.values import whole_number


def match_questions(
    path: Path, records: Sequence[Record], plan: ReadingPlan, questions: Sequence[Sqa3dQuestion]
) -> tuple[list[int], list[str]]:
    """Returns the id of the question that each record answers, and what a reader of the scores must know about it.

    Raises:
        InputError: A record answers none of the questions, or it is not clear which.
    """
    if plan.ids == "text":
        return _by_text(records, plan, questions)
    if plan.ids == "place":
        return _by_place(path, records, plan, questions)
    name = plan.id or ""
    ids = [whole_number(record.where, name, field_value(record, name)) for record in records]
    _check_asked(path, name, ids, questions)
    return ids, []


def _check_asked(path: Path, name: str, ids: Sequence[int], questions: Sequence[Sqa3dQuestion]) -> None:
    asked = {question.id for question in questions}
    unknown = list(dict.fromkeys(number for number in ids if number not in asked))
    if not unknown:
        return
    shown = first_of(unknown)
    places = len(unknown) == len(set(ids)) and all(0 <= number < len(questions) for number in unknown)
    cure = "give --places if they count the questions from 0" if places else "score the split that was predicted"
    raise InputError(
        f"{path}: expected ids of the {len(asked):,} questions asked, found {len(unknown):,} unknown in {name} "
        f"({shown}); {cure}"
    )


def _by_place(
    path: Path, records: Sequence[Record], plan: ReadingPlan, questions: Sequence[Sqa3dQuestion]
) -> tuple[list[int], list[str]]:
    """A `target` beside the place, as lmms-eval writes it, must be the true answer of the question at that place."""
    ids, compared, differing = [], 0, 0
    for number, record in enumerate(records):
        value = number if plan.id is None else field_value(record, plan.id)
        place = whole_number(record.where, plan.id or "place", value)
        if not 0 <= place < len(questions):
            raise InputError(
                f"{record.where}: expected a place from 0 to {len(questions) - 1:,} in the question file, found "
                f"{place}; score the split that was predicted"
            )
        question = questions[place]
        ids.append(question.id)
        if plan.format and (target := _normal(str(record.fields.get("target") or ""))):
            compared += 1
            differing += not any(_normal(answer) in target for answer in question.answers)
    if 2 * differing > compared:
        raise InputError(
            f"{path}: expected {plan.id or 'the records'} to count the questions in the order of the question file, "
            f"found that target is not the true answer of {differing:,} of {compared:,}; name a field with ids of "
            "questions with --id-field"
        )
    counted = f"{plan.id} counts" if plan.id else "the records are taken for"
    return ids, [f"{counted} the questions in the order of the question file, from 0."]


@dataclass(frozen=True)
class _AskedText:
    """A question as records may quote it: in small letters, with single spaces."""

    id: int
    question: str
    situations: tuple[str, ...]

    @classmethod
    def of(cls, asked: Sqa3dQuestion) -> _AskedText:
        situations = (asked.situation, *asked.alternative_situations)
        return cls(asked.id, _normal(asked.question), tuple(map(_normal, situations)))


def _by_text(
    records: Sequence[Record], plan: ReadingPlan, questions: Sequence[Sqa3dQuestion]
) -> tuple[list[int], list[str]]:
    in_scene: dict[str, list[_AskedText]] = defaultdict(list)
    for question in questions:
        in_scene[question.scene_id].append(_AskedText.of(question))
    records_of: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, record in enumerate(records):
        records_of[_candidates(record, plan, in_scene)].append(row)
    text_of = {question.id: (question.situation, question.question) for question in questions}
    ids, alike, without_situation = [0] * len(records), 0, 0
    for candidates, rows in records_of.items():
        if len(candidates) > 1:
            same = len({text_of[number] for number in candidates}) == 1
            _check_order(records, plan, rows, candidates, same)
            alike, without_situation = alike + same * len(rows), without_situation + (not same) * len(rows)
        for place, row in enumerate(rows):
            ids[row] = candidates[min(place, len(candidates) - 1)]
    return ids, list(_text_notes(alike, without_situation))


def _text_notes(alike: int, without_situation: int) -> Iterator[str]:
    yield "the questions were found by scene and text."
    if alike:
        yield f"{alike:,} answers are to questions that are asked twice in the same words; they were taken in order."
    if without_situation:
        yield (
            f"{without_situation:,} answers are to questions that are asked from several situations, without saying "
            "which; they were taken in the order of the question file."
        )


def _check_order(
    records: Sequence[Record], plan: ReadingPlan, rows: Sequence[int], candidates: tuple[int, ...], same: bool
) -> None:
    """Several questions fit the same records: the order decides, but only where none can be missing or repeated."""
    if len(rows) == len(candidates) or (same and len(rows) < len(candidates)):
        return
    if len(rows) > len(candidates) and len({repr(field_value(records[row], plan.answer)) for row in rows}) == 1:
        return
    raise InputError(
        f"{records[rows[0]].where}: expected {len(candidates)} answers to questions in these words "
        f"({', '.join(map(str, candidates))}), found {len(rows)}; add the ids or the situations of the questions"
    )


def _candidates(record: Record, plan: ReadingPlan, in_scene: Mapping[str, Sequence[_AskedText]]) -> tuple[int, ...]:
    """Returns the ids of the questions whose text stands in a record, with a situation of theirs if any does."""
    scene = _scene(record, in_scene)
    text = _normal("\n".join(v for name, v in record.fields.items() if name != plan.answer and isinstance(v, str)))
    lengths: dict[int, tuple[int, int]] = {}
    for asked in in_scene[scene]:
        if asked.question and asked.question in text:
            situation = max((len(told) for told in asked.situations if told in text), default=0)
            lengths[asked.id] = (situation, len(asked.question))
    if not lengths:
        raise InputError(
            f"{record.where}: expected the text of a question about {scene}, found none of its "
            f"{len(in_scene[scene]):,} in {shown_fields(record.fields)}; score the split that was predicted, or name "
            "a field with ids of questions with --id-field"
        )
    longest = max(lengths.values())
    return tuple(number for number, length in lengths.items() if length == longest)


def _scene(record: Record, in_scene: Mapping[str, Any]) -> str:
    found = [record.fields[name] for name in SCENE_FIELDS if isinstance(record.fields.get(name), str)]
    for value in found:
        for name in (value, PurePath(value).stem):
            if name in in_scene:
                return name
    raise InputError(
        f"{record.where}: expected the name of one of the {len(in_scene):,} scenes asked about in "
        f"{' or '.join(SCENE_FIELDS)}, found {', '.join(map(brief, found)) or 'none'}; score the split that was "
        "predicted, or name a field with ids of questions with --id-field"
    )


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())
