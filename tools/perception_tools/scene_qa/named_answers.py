"""Answers to questions whose ids are texts, as in ScanQA: JSON objects, lists and lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from perception.errors import InputError
from perception.files import reading

ID_FIELDS = ("question_id", "index", "sample_id")
ANSWER_FIELDS = (
    "answer_top10", "pred_answers_at10", "pred_response", "response_pred", "prediction", "pred_answer", "pred", "text",
    "answer",
)  # fmt: skip
"""Fields under which ScanQA's, Video-3D LLM's, LEO's, MSR3D's and LLaVA-3D's code writes an answer."""

CURE = (
    'write {"question id": "answer"} or {"question id": ["best", "second", …]}, or a list or lines of objects with '
    f"{' or '.join(ID_FIELDS)} and one of {', '.join(ANSWER_FIELDS)}"
)


def read_named_answers(path: Path, ids: Mapping[str, int]) -> dict[int, tuple[str, ...]]:
    """Reads the ranked answers, the best first, by the number of the question.

    Args:
        path: File of answers.
        ids: Id in the data set's files → number of the question.

    Raises:
        InputError: The file is malformed, it is not clear which field was predicted, a question that was not asked is
            answered, or one is answered in two ways.
    """
    with reading(path, CURE):
        records = list(_records(path, path.read_text(encoding="utf-8-sig")))
    if not records:
        raise InputError(f"{path}: expected answers, found none; {CURE}")
    answers: dict[int, tuple[str, ...]] = {}
    for name, value in records:
        if name not in ids:
            shown = next(iter(ids))
            raise InputError(
                f"{path}: expected ids such as {shown!r}, found {name!r}; score the split that was predicted"
            )
        ranked = _ranked(path, name, value)
        if answers.setdefault(ids[name], ranked) != ranked:
            raise InputError(f"{path}: expected one answer a question, found two different ones for {name!r}; keep one")
    return answers


def _records(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """Yields (question id, answers) of every record."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(content, dict) and not any(name in content for name in ID_FIELDS):
        yield from content.items()
        return
    for item in [content] if isinstance(content, dict) else content:
        names = [name for name in ID_FIELDS if name in item]
        fields = [name for name in ANSWER_FIELDS if name in item]
        if len(names) != 1 or len(fields) != 1:
            raise InputError(
                f"{path}: expected one field of {', '.join(ID_FIELDS)} and one with the answer, found "
                f"{', '.join(map(str, item))}; remove the true answers and what is not predicted"
            )
        yield str(item[names[0]]), item[fields[0]]


def _ranked(path: Path, name: str, value: Any) -> tuple[str, ...]:
    ranked = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(answer, str | int | float) for answer in ranked):
        raise InputError(f"{path}: question {name!r}: expected an answer or a list, found {str(value)[:60]!r}; {CURE}")
    return tuple(str(answer).strip() for answer in ranked)
