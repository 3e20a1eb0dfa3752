"""Answers to questions whose ids are texts, as in ScanQA; the files are read as those of SQA3D are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from perception.errors import InputError
from perception.metrics.answer_matching import clean_answer
from perception_tools.answer_files.content import Record, brief, read_content
from perception_tools.answer_files.formats import FieldChoice, field_value, plan_reading, shown_fields
from perception_tools.answer_files.values import ranked_answers

ID_FIELDS = ("question_id", "index", "sample_id")
"""Fields under which ScanQA's, MSQA's and Video-3D LLM's files name a question."""

CURE = (
    'write {"question id": "answer"} or {"question id": ["best", "second", …]}, or a list or lines of objects with '
    f"{' or '.join(ID_FIELDS)} and prediction"
)


def read_named_answers(
    path: Path, ids: Mapping[str, int], choice: FieldChoice | None = None, *, clean: bool = False
) -> dict[int, tuple[str, ...]]:
    """Reads the ranked answers, the best first, by the number of the question.

    Args:
        path: File of answers.
        ids: Id in the data set's files → number of the question.
        choice: Fields that the user named.
        clean: Whether to remove what language models write around an answer.

    Raises:
        InputError: The file is malformed, it is not clear which field was predicted, a question that was not asked is
            answered, or one is answered in two ways.
    """
    choice = choice or FieldChoice()
    records = list(_one_each(path, read_content(path).records, ids))
    if not records:
        raise InputError(f"{path}: expected answers, found none; {CURE}")
    names = {name for record in records for name in record.fields}
    named = choice.id or next((name for name in ID_FIELDS if name in names), None)
    if named is None:
        found = shown_fields(records[0].fields)
        raise InputError(f"{path}: expected one field of {', '.join(ID_FIELDS)}, found {found}; {CURE}")
    plan = plan_reading(path, records, FieldChoice(choice.answer, named))
    answers: dict[int, tuple[str, ...]] = {}
    for record in records:
        name = str(field_value(record, named))
        if name not in ids:
            raise InputError(
                f"{record.where}: expected ids such as {next(iter(ids))!r}, found {name!r}; score the split that was "
                "predicted"
            )
        ranked = ranked_answers(record.where, plan.answer, field_value(record, plan.answer))
        if clean:
            ranked = tuple(map(clean_answer, ranked))
        if answers.setdefault(ids[name], ranked) != ranked:
            raise InputError(
                f"{record.where}: expected one answer a question, found {brief(ranked)} and "
                f"{brief(answers[ids[name]])} for {name!r}; keep one"
            )
    return answers


def _one_each(path: Path, records: Sequence[Record], ids: Mapping[str, int]) -> Iterator[Record]:
    """Yields the records; an object whose keys are the ids of questions holds as many."""
    for record in records:
        if len(records) == 1 and any(name in ids for name in record.fields):
            for name, value in record.fields.items():
                yield Record(f"{path}, question {name}", {"question_id": name, "answer": value})
        else:
            yield record
