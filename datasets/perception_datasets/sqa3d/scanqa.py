"""Reader of ScanQA's files: questions about objects in ScanNet scans, without a situation.

Azuma et al., *ScanQA: 3D Question Answering for Spatial Scene Understanding* (CVPR 2022),
https://arxiv.org/abs/2112.10482; format from `docs/dataset.md` of https://github.com/ATR-DBI/ScanQA.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from perception_datasets.errors import bad_file, reading
from perception_datasets.sqa3d.json_lists import check_unique, read_objects, text_list

CURE = "use a file of ScanQA's release, such as ScanQA_v1.0_val.json (https://github.com/ATR-DBI/ScanQA)"


@dataclass(frozen=True)
class ScanqaQuestion:
    """A question as the file states it.

    Attributes:
        id: `question_id` of the file, such as val-scene0011_00-0.
        scene_id: ScanNet's name of the scan.
        question: Text of the question.
        answers: Accepted answers; empty in the test splits, whose answers were never released.
        object_ids: Objects that the question is about, by the ids of ScanNet's aggregation file.
    """

    id: str
    scene_id: str
    question: str
    answers: tuple[str, ...]
    object_ids: tuple[int, ...]


def read_questions(path: Path) -> list[ScanqaQuestion]:
    """Reads all questions of a file in order.

    Raises:
        RecordError: The file is malformed, or an id occurs twice.
    """
    with reading(path, CURE):
        questions = [_question(path, item) for item in read_objects(path)]
    check_unique(path, (question.id for question in questions), CURE)
    return questions


def _question(path: Path, item: dict) -> ScanqaQuestion:
    objects = item.get("object_ids", ())
    if not isinstance(objects, list | tuple):
        raise bad_file(path, f"expected a list of object_ids, found {type(objects).__name__}", CURE)
    return ScanqaQuestion(
        id=str(item["question_id"]),
        scene_id=str(item["scene_id"]),
        question=str(item["question"]),
        answers=text_list(item.get("answers", [])),
        object_ids=tuple(int(number) for number in objects),
    )


def question_type(question: str) -> str:
    """Returns the type that ScanQA's `scripts/score.py` tells from the words of a question, case-sensitively."""
    for words, name in _TYPES:
        if any(word in question for word in words):
            return name
    return "other"


_TYPES = (
    (("Where",), "place"),
    (("How many",), "number"),
    (("What color", "What is the color"), "color"),
    (("What shape", "What type", "What kind"), "object nature"),
    (("What is",), "object"),
)
