"""Anybody's predictions for questions about scenes, in the formats that the field writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from perception.errors import InputError
from perception.scenes.scene import Viewpoint

ID_FIELDS = ("question_id", "qid", "id")

ANSWER_FIELDS = (
    *("prediction", "predictions", "predicted_answer", "pred_answer", "pred", "pred_response", "response_pred"),
    *("answer_top10", "response", "output", "text", "answers", "answer"),
)
"""Names for what was predicted. `answer` comes last: beside a more telling name it holds the true one."""

FORMATS = (
    'a JSON object {"question id": "answer"} or {"question id": ["best", "second", …]}; a JSON list or JSON lines of '
    'objects with "question_id" and "answer" (or "prediction", "answer_top10", …); or a CSV file with the columns '
    "question_id and answer (or answer_1, answer_2, …)"
)


@dataclass
class AnswerPredictions:
    """Predictions of one system.

    Attributes:
        answers: Ranked, the best first, by question id; without outer spaces. Empty where the file says null.
        viewpoints: Where it believes the asker to stand, in the frame of the annotations; for questions that have it.
    """

    answers: dict[int, tuple[str, ...]] = field(default_factory=dict)
    viewpoints: dict[int, Viewpoint] = field(default_factory=dict)


def read_predictions(path: Path) -> AnswerPredictions:
    """Reads a predictions file; its ending tells CSV (.csv) and JSON lines (.jsonl) from JSON.

    The same question with the same answer twice is taken once, as samplers of parallel inference repeat questions.
    An object may also hold `position` [x, y, z] and `rotation` [x, y, z, w] of the asker.

    Raises:
        InputError: The file is broken or of another format, or answers a question in two ways.
    """
    predictions = AnswerPredictions()
    try:
        for where, question, value in _records(path):
            _add(predictions, where, question, value)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected predictions, but it cannot be read ({error}); write {FORMATS}") from error
    if not predictions.answers:
        raise InputError(f"{path}: expected predictions, got none; write {FORMATS}")
    return predictions


def _records(path: Path) -> Iterator[tuple[str, Any, Any]]:
    """(where it stands, question id, answer or object) of every record, not yet checked."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".csv":
            for number, row in enumerate(csv.DictReader(file), start=2):
                yield _of_object(f"{path}, line {number}", _ranked_columns(row))
        elif path.suffix in (".jsonl", ".ndjson"):
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _of_object(f"{path}, line {number}", json.loads(line))
        else:
            content = json.load(file, object_pairs_hook=_Pairs)
            if isinstance(content, _Pairs):
                yield from ((f"{path}, question {question}", question, value) for question, value in content.pairs)
            elif isinstance(content, list):
                yield from (_of_object(f"{path}, item {number}", item) for number, item in enumerate(content))
            else:
                raise InputError(f"{path}: expected predictions, got {type(content).__name__}; write {FORMATS}")


class _Pairs(dict):
    """A JSON object that remembers keys which come twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _of_object(where: str, item: Any) -> tuple[str, Any, dict]:
    """An object's question id beside it."""
    names = item if isinstance(item, dict) else {}
    for name in ID_FIELDS:
        if name in names:
            return where, names[name], item
    raise InputError(f"{where}: expected an object with question_id, got {_brief(item)}; write {FORMATS}")


def _ranked_columns(row: dict) -> dict:
    """A CSV row whose columns answer_1, answer_2, … stand in one list; empty cells are no answers."""
    ranked = [row[f"answer_{rank}"] for rank in range(1, len(row) + 1) if row.get(f"answer_{rank}")]
    return {**row, "answers": ranked} if "answer_1" in row else row


def _add(predictions: AnswerPredictions, where: str, question: Any, value: Any) -> None:
    """Checks one record and takes it in."""
    try:
        number = int(str(question))
    except ValueError:
        raise InputError(f"{where}: expected a whole number as question id; write {FORMATS}") from None
    item = value if isinstance(value, dict) else {"answer": value}
    answers = _answers(where, item)
    if predictions.answers.setdefault(number, answers) != answers:
        raise InputError(
            f"{where}: question {number} was answered {_brief(predictions.answers[number])} before; "
            f"expected one prediction a question, got {_brief(answers)} too; keep one"
        )
    if item.get("position") is not None and item.get("rotation") is not None:
        predictions.viewpoints[number] = _viewpoint(where, item)


def _answers(where: str, item: dict) -> tuple[str, ...]:
    """The ranked answers under the first name that the object has."""
    name = next((name for name in ANSWER_FIELDS if name in item), None)
    if name is None:
        raise InputError(f"{where}: expected one of {', '.join(ANSWER_FIELDS)}, got {', '.join(map(str, item))}")
    value = item[name]
    ranked = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(ranked, list) or not all(isinstance(answer, str) for answer in ranked):
        raise InputError(
            f"{where}: expected an answer in words or a list of them, got {_brief(value)}; write {FORMATS}"
        )
    return tuple(answer.strip() for answer in ranked)


def _viewpoint(where: str, item: dict) -> Viewpoint:
    """A pose as lists, or by key as in SQA3D's annotations; the quaternion is scaled to length one."""
    try:
        position = _numbers(item["position"], ("x", "y", "z"))
        rotation = _numbers(item["rotation"], ("_x", "_y", "_z", "_w"))
    except (TypeError, ValueError, KeyError):
        position = rotation = np.full(1, np.nan)
    length = float(np.linalg.norm(rotation))
    if position.shape != (3,) or rotation.shape != (4,) or not 0 < length < np.inf or not np.isfinite(position).all():
        raise InputError(
            f"{where}: expected position [x, y, z] and rotation [x, y, z, w] in numbers, "
            f"got {_brief(item['position'])} and {_brief(item['rotation'])}"
        )
    return Viewpoint(position, rotation / length)


def _numbers(value: Any, keys: tuple[str, ...]) -> np.ndarray:
    return np.array([value[key] for key in keys] if isinstance(value, dict) else value, dtype=np.float64)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
