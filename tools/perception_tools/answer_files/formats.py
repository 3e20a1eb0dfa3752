"""Which fields of a record hold the question and the answer: a table of projects, a rule for others, or options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from perception.errors import InputError, first_of
from perception_tools.answer_files.content import Record, brief

Ids = Literal["question", "place", "text"]
"""What tells the question: its id, its place in the question file from 0, or its text and scene."""


@dataclass(frozen=True)
class FieldChoice:
    """Options that decide what is read.

    Attributes:
        answer: Name of the field with the answer; dots reach into objects.
        id: Name of the field with the question's id.
        places: Whether ids count the questions of the question file from 0. Without any id, the records are in that
            order.
    """

    answer: str | None = None
    id: str | None = None
    places: bool = False


@dataclass(frozen=True)
class Format:
    """How a project writes its answers.

    Attributes:
        name: Name of the project.
        source: Repository and file whose code writes, or reads, such records.
        marks: Fields that together tell its records from those of others.
        answers: Fields with the answer; the first that a file has.
        ids: What tells the question.
        id: Field with the id or the place.
    """

    name: str
    source: str
    marks: frozenset[str]
    answers: tuple[str, ...]
    ids: Ids
    id: str | None = None


FORMATS = (
    Format(  # JSON lines, in a file that is called .json
        "LLaVA-3D",
        "https://github.com/ZCMax/LLaVA-3D, llava/eval/model_sqa3d.py",
        frozenset({"question_id", "prompt", "text", "answer_id"}),
        ("text",),
        "question",
        "question_id",
    ),
    Format(  # JSON lines; gt_response is the true answer
        "Video-3D-LLM",
        "https://github.com/zd11024/Video-3D-LLM, llava/eval/model_sqa3d.py",
        frozenset({"sample_id", "pred_response"}),
        ("pred_response",),
        "question",
        "sample_id",
    ),
    Format(  # qid is 0 in every record of SQA3D; the prompt holds situation and question
        "Chat-Scene",
        "https://github.com/ZzZZCHS/Chat-Scene, tasks/train.py",
        frozenset({"scene_id", "prompt", "pred", "ref_captions"}),
        ("pred",),
        "text",
    ),
    Format(  # a list that torch.save wrote
        "LEO",
        "https://github.com/embodied-generalist/embodied-generalist, evaluator/sqa3d_eval.py",
        frozenset({"scene_id", "instruction", "response_pred"}),
        ("response_pred",),
        "text",
    ),
    Format(  # as LEO's, but with scan_id and without the situation
        "MSR3D",
        "https://github.com/MSR3D/MSR3D, evaluator/sqa3d_eval.py",
        frozenset({"scan_id", "instruction", "response_pred"}),
        ("response_pred",),
        "text",
    ),
    Format(  # agent_pos and agent_rot are the true pose, no guess
        "SQA3D's script for language models",
        "https://github.com/SilongYong/SQA3D, LLM/eval_sqa3d_llm.py",
        frozenset({"scene_id", "situation", "question", "answer", "agent_pos"}),
        ("answer",),
        "text",
    ),
    Format(  # samples_*.jsonl; `resps` stands there only where a filter changed it
        "lmms-eval",
        "https://github.com/EvolvingLMMs-Lab/lmms-eval, lmms_eval/loggers/evaluation_tracker.py",
        frozenset({"doc_id", "target"}),
        ("filtered_resps", "resps"),
        "place",
        "doc_id",
    ),
    Format(
        "ScanQA",
        "https://github.com/ATR-DBI/ScanQA, scripts/predict.py",
        frozenset({"question_id", "answer_top10"}),
        ("answer_top10",),
        "question",
        "question_id",
    ),
)

ID_FIELDS = ("question_id", "questionId", "qid", "sample_id", "id")
PLACE_FIELDS = ("doc_id", "index", "idx")
"""Fields that may hold a place; read as such only where that is asked for."""
SCENE_FIELDS = ("scene_id", "scan_id", "scene", "video")

PREDICTION_FIELDS = (
    *("prediction", "predictions", "predicted_answer", "pred_answer", "pred_ans", "pred", "pred_response"),
    *("response_pred", "answer_pred", "answer_top10"),
)
"""Names that say that their value was predicted."""
_CONTENT_WORDS = {
    *("answer", "answers", "response", "responses", "resps", "output", "outputs", "text", "caption", "captions"),
    *("generated", "generation", "completion", "reply", "pred", "predicted"),
}
_TRUTH_WORDS = {"gt", "gts", "gold", "true", "truth", "groundtruth", "target", "ref", "refs", "reference", "correct"}
_OTHER_WORDS = {
    *("id", "ids", "type", "types", "time", "length", "tokens", "score", "scores", "prob", "probs", "confidence"),
    *("question", "situation", "prompt"),
}
_SHOWN_FIELDS = 12

WRITE = (
    'write {"question id": "answer"}, a JSON list or JSON lines of objects with question_id and prediction, or a CSV '
    f"with those columns; known are also the files of {', '.join(known.name for known in FORMATS)}"
)


@dataclass(frozen=True)
class ReadingPlan:
    """What is read of every record.

    Attributes:
        format: Name of the format; None where it is none of the table.
        answer: Field with the answer.
        ids: What tells the question.
        id: Field with the id or place; None where texts tell the question, or the order of the records.
    """

    format: str | None
    answer: str
    ids: Ids
    id: str | None


def plan_reading(path: Path, records: Sequence[Record], choice: FieldChoice) -> ReadingPlan:
    """Returns what to read of the records of a file.

    Raises:
        InputError: It is not clear which field holds the answer, or there is none that tells the question.
    """
    first = records[0].fields
    names = list(dict.fromkeys(name for record in records for name in record.fields))
    known = next((known for known in FORMATS if known.marks <= first.keys()), None)
    answer = choice.answer or _known_answer(known, names) or _answer_field(path, first, records, names)
    ids, field = _id_field(path, first, names, known, choice)
    return ReadingPlan(known.name if known else None, answer, ids, field)


def field_value(record: Record, name: str) -> Any:
    """Returns the value of a field, whose name may reach into objects: `score.question_id`."""
    value: Any = record.fields
    for part in (name,) if name in record.fields else name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise InputError(f"{record.where}: expected the field {name}, found {shown_fields(record.fields)}")
        value = value[part]
    return value


def shown_fields(names: Iterable[str]) -> str:
    """Returns the first names of fields, as messages list them."""
    return first_of(names, _SHOWN_FIELDS)


def _known_answer(known: Format | None, names: Sequence[str]) -> str | None:
    return next((name for name in known.answers if name in names), None) if known else None


def _answer_field(path: Path, first: dict[str, Any], records: Sequence[Record], names: Sequence[str]) -> str:
    """Returns the only field that can hold the prediction.

    `answer` is the truth in many projects' files and the prediction in others', so it is taken only where it stands
    alone, or never beside a name that says more.
    """
    found = [name for name in names if name in PREDICTION_FIELDS] or [
        name for name in names if _may_be_answer(name) and any(_is_text(r.fields.get(name)) for r in records)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{path}: expected a field with an answer, found {shown_fields(first)} in the first record; name the "
            f"field with --answer-field, or {WRITE}"
        )
    shown = ", ".join(f"{name} ({brief(next(r.fields[name] for r in records if name in r.fields))})" for name in found)
    raise InputError(
        f"{path}: expected one field that can be the prediction, found {shown}; name it with --answer-field"
    )


def _may_be_answer(name: str) -> bool:
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    return bool(words & _CONTENT_WORDS) and not words & (_TRUTH_WORDS | _OTHER_WORDS)


def _is_text(value: Any) -> bool:
    """Whether a value can be an answer or a ranking of them."""
    item = value[0] if isinstance(value, list) and value else value
    return value is not None and not isinstance(item, dict | list | bool)


def _id_field(
    path: Path, first: dict[str, Any], names: Sequence[str], known: Format | None, choice: FieldChoice
) -> tuple[Ids, str | None]:
    if choice.places:
        numbered = () if known and known.ids == "text" else (*ID_FIELDS, *PLACE_FIELDS)
        return "place", choice.id or next((name for name in numbered if name in names), None)
    if choice.id is not None:
        return "question", choice.id
    if known is not None:
        return known.ids, known.id
    named = next((name for name in ID_FIELDS if name in names), None)
    if named is not None:
        return "question", named
    if any(name in names for name in SCENE_FIELDS):
        return "text", None
    raise InputError(
        f"{path}: expected question_id, or scene_id with the question's text, found {shown_fields(first)} in the first "
        "record; name the field with the ids with --id-field, give --places if the records are in the order of the "
        f"questions, or {WRITE}"
    )
