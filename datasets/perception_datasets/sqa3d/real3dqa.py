"""Reader of Real-3DQA's files: questions of SQA3D that blind models miss, and the same asked from four viewpoints.

Ma et al., *Do 3D Large Language Models Really Understand 3D Spatial Relationships?* (ICLR 2026),
https://arxiv.org/abs/2603.23523; files from https://github.com/xianzhengma/Real-3DQA. They have the fields of SQA3D's
question files with the answers inside. The positions and rotations in the rotated files are those of the original
viewpoint, only the situations are rewritten; so they are not read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perception_datasets.errors import bad_file, reading
from perception_datasets.sqa3d.json_lists import check_unique

CURE = "use a file of Real-3DQA's release (https://github.com/xianzhengma/Real-3DQA), such as rotation_90.json"
ROTATIONS_DEG = (0, 90, 180, 270)
_SUFFIX_DIGITS = 2
"""Some releases append the number of the rotation to the ids of the rotated files: 01, 02, 03."""


@dataclass(frozen=True)
class Real3dqaQuestion:
    """A question as the file states it.

    Attributes:
        id: `question_id` of the file.
        scene_id: ScanNet's name of the scan.
        situation: Description of the asker's place.
        question: Text of the question.
        answers: Accepted answers.
        type: `question_type` of the filtered test set, such as "spatial relation"; empty in the rotated files.
    """

    id: int
    scene_id: str
    situation: str
    question: str
    answers: tuple[str, ...]
    type: str


def read_questions(path: Path) -> list[Real3dqaQuestion]:
    """Reads all questions of a file in order.

    Raises:
        RecordError: The file is malformed, or an id occurs twice.
    """
    with reading(path, CURE):
        items = json.loads(path.read_text(encoding="utf-8"))["questions"]
        questions = [
            Real3dqaQuestion(
                id=int(item["question_id"]),
                scene_id=str(item["scene_id"]),
                situation=str(item["situation"]),
                question=str(item["question"]),
                answers=tuple(str(answer["answer"]) for answer in item["answers"]),
                type=str(item.get("question_type", "")),
            )
            for item in items
        ]
    if not questions:
        raise bad_file(path, "expected questions, found none", CURE)
    check_unique(path, (str(question.id) for question in questions), CURE)
    return questions


def same_questions(rotated: Sequence[Sequence[Real3dqaQuestion]]) -> list[tuple[Real3dqaQuestion, ...]]:
    """Returns the questions that are asked from every viewpoint, in the order of the first file.

    Ids are compared as they are, or without the number of the rotation where a file shares none with the first.
    """
    first, *others = ({str(question.id): question for question in questions} for questions in rotated)
    by_id = [first]
    for questions in others:
        if not first.keys() & questions.keys():
            questions = {number[:-_SUFFIX_DIGITS]: question for number, question in questions.items()}
        by_id.append(questions)
    return [tuple(of[number] for of in by_id) for number in first if all(number in of for of in by_id)]
