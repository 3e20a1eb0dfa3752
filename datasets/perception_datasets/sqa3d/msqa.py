"""Reader of MSQA's files: situated questions about ScanNet, 3RScan and ARKitScenes scans.

Linghu et al., *Multi-modal Situated Reasoning in 3D Scenes* (NeurIPS 2024), https://arxiv.org/abs/2409.02389; fields
from `data/datasets/msr3d.py` of https://github.com/MSR3D/MSR3D. Texts may hold placeholders of pictures, such as
`<chair-1-IMG>`; they are kept. The asker's location and orientation are not read: no score uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from perception_datasets.errors import reading
from perception_datasets.sqa3d.json_lists import check_unique, read_objects, text_list

CURE = "use a file of MSQA's release, such as msqa_scannet_test.json (https://github.com/MSR3D/MSR3D)"


@dataclass(frozen=True)
class MsqaQuestion:
    """A question as the file states it.

    Attributes:
        id: `index` of the file.
        scan_id: Name of the scan in its data set.
        situation: Description of the asker's place.
        question: Text of the question.
        answers: Accepted answers. MSR3D's evaluation takes the first one alone.
        type: Type as in the file, such as attribute-color.
    """

    id: str
    scan_id: str
    situation: str
    question: str
    answers: tuple[str, ...]
    type: str


def read_questions(path: Path) -> list[MsqaQuestion]:
    """Reads all questions of a file in order.

    Raises:
        RecordError: The file is malformed, or an index occurs twice.
    """
    with reading(path, CURE):
        questions = [
            MsqaQuestion(
                id=str(item["index"]),
                scan_id=str(item["scan_id"]),
                situation=str(item["situation"]),
                question=str(item["question"]),
                answers=text_list(item["answers"]),
                type=str(item["type"]),
            )
            for item in read_objects(path)
        ]
    check_unique(path, (question.id for question in questions), CURE)
    return questions


def question_type(type_of_file: str) -> str:
    """Returns the group of a type under which MSR3D prints its scores (`evaluator/evaluate_msqa.py`).

    A type that names several there counts in each; here it counts in the first.
    """
    lower = type_of_file.lower()
    return next((name for words, name in _GROUPS if any(word in lower for word in words)), "other")


_GROUPS = (
    (("counting",), "counting"),
    (("existence",), "existence"),
    (("attribute", "description"), "attribute and description"),
    (("spatial relationship", "refer"), "spatial and refer"),
    (("navigation",), "navigation"),
)
