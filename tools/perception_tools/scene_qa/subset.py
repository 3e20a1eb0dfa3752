"""A part of the questions, named by their ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from perception.errors import InputError, first_of
from perception_datasets.sqa3d.questions import Sqa3dQuestion
from perception_tools.answer_files.content import brief, read_text

_BETWEEN = re.compile(r"[\s,;\[\]\"]+")


def select_questions(questions: Sequence[Sqa3dQuestion], only: str | None) -> list[Sqa3dQuestion]:
    """Returns the questions that `only` names, in their own order; all of them if it is None.

    Args:
        questions: All questions of a split.
        only: Path of a file with ids, or the ids themselves, separated by commas. The file has an id a line, or is a
            JSON list.

    Raises:
        InputError: The ids cannot be read, there are none, or one is not among the questions.
    """
    if only is None:
        return list(questions)
    wanted = _read_ids(only)
    unknown = wanted - {question.id for question in questions}
    if unknown:
        shown = first_of(sorted(unknown))
        raise InputError(
            f"--only {brief(only)}: expected ids of the {len(questions):,} questions, found {len(unknown):,} unknown "
            f"({shown}); name ids of the split that is scored"
        )
    return [question for question in questions if question.id in wanted]


def subset_note(selected: int, total: int, only: str | None) -> str | None:
    """Returns the sentence that stands in every output if some of the questions were left out."""
    if selected == total:
        return None
    return f"Scored on {selected:,} of the {total:,} questions (--only {only}): not comparable with scores on others."


def _read_ids(only: str) -> set[int]:
    path = Path(only)
    listed = bool(re.fullmatch(r"[\d,\s]+", only)) and not path.is_file()
    words = [word for word in _BETWEEN.split(only if listed else read_text(path)) if word]
    wrong = next((word for word in words if not re.fullmatch(r"\d{1,18}", word)), None)
    if wrong is not None or not words:
        found = "none" if wrong is None else brief(wrong)
        raise InputError(
            f"--only {brief(only)}: expected ids of questions, one a line or separated by commas, found {found}; "
            "write whole numbers alone"
        )
    return {int(word) for word in words}
