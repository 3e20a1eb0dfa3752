from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception_datasets.errors import RecordError
from perception_datasets.sqa3d.scanqa import question_type, read_questions

ITEM = {
    "scene_id": "scene0011_00", "object_ids": [8, 9], "object_names": ["cabinet", "cabinet"],
    "question_id": "val-scene0011_00-0", "question": "What color is the cabinet?", "answers": ["brown", "dark brown"],
}  # fmt: skip


def write(path: Path, items: object) -> Path:
    path.write_text(json.dumps(items))
    return path


def test_questions_are_read_with_their_objects(tmp_path: Path) -> None:
    (question,) = read_questions(write(tmp_path / "val.json", [ITEM]))
    assert (question.id, question.scene_id, question.object_ids) == ("val-scene0011_00-0", "scene0011_00", (8, 9))
    assert (question.question, question.answers) == ("What color is the cabinet?", ("brown", "dark brown"))


def test_the_test_splits_have_no_answers(tmp_path: Path) -> None:
    item = {name: value for name, value in ITEM.items() if name not in ("answers", "object_ids")}
    (question,) = read_questions(write(tmp_path / "test_wo_obj.json", [item]))
    assert (question.answers, question.object_ids) == ((), ())


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ({"questions": []}, "expected a list of questions"),
        ([{**ITEM, "answers": "brown"}], "expected a list of answers"),
        ([{**ITEM, "object_ids": 8}], "expected a list of object_ids"),
        ([{"scene_id": "s"}], "it lacks 'question_id'"),
        ([ITEM, ITEM], "found val-scene0011_00-0 twice"),
    ],
)
def test_a_malformed_file_is_named_with_the_reason(tmp_path: Path, items: object, reason: str) -> None:
    with pytest.raises(RecordError, match=rf"val\.json: .*{reason}.*ScanQA's release"):
        read_questions(write(tmp_path / "val.json", items))


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Where is the desk?", "place"),
        ("How many chairs are there?", "number"),
        ("What is the color of it?", "color"),
        ("What type of chair is it?", "object nature"),
        ("What is on the desk?", "object"),
        ("what is on the desk?", "other"),
    ],
)
def test_types_are_told_as_by_the_published_script(question: str, name: str) -> None:
    assert question_type(question) == name
