from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception_datasets.errors import RecordError
from perception_datasets.sqa3d.real3dqa import read_questions, same_questions


def write(path: Path, ids: list[int], answer: str = "wall", **more: str) -> Path:
    items = [
        {
            "scene_id": "scene0300_00", "situation": "I sit.", "alternative_situation": [], "question": "What is it?",
            "question_id": number, "answers": [{"answer": answer, "answer_confidence": "yes", "answer_id": 1}], **more,
        }
        for number in ids
    ]  # fmt: skip
    path.write_text(json.dumps({"task_type": "Situated question answering", "questions": items}))
    return path


def test_questions_are_read_with_the_answers_inside(tmp_path: Path) -> None:
    (question,) = read_questions(write(tmp_path / "a.json", [220602000035], question_type="spatial relation"))
    assert (question.id, question.answers, question.type) == (220602000035, ("wall",), "spatial relation")
    assert (question.scene_id, question.situation, question.question) == ("scene0300_00", "I sit.", "What is it?")
    assert read_questions(write(tmp_path / "b.json", [1]))[0].type == ""


@pytest.mark.parametrize("suffixes", [("", "", "", ""), ("", "01", "02", "03")])
def test_questions_of_the_rotations_are_matched_with_and_without_the_rotations_number(
    tmp_path: Path, suffixes: tuple[str, ...]
) -> None:
    ids = ([100, 200, 300], [100, 200], [200, 100, 400], [100, 200])
    files = [
        read_questions(write(tmp_path / f"{i}.json", [int(f"{number}{suffix}") for number in of], f"answer {i}"))
        for i, (of, suffix) in enumerate(zip(ids, suffixes, strict=True))
    ]
    matched = same_questions(files)
    assert [[question.id for question in of] for of in matched] == [
        [int(f"{number}{suffix}") for suffix in suffixes] for number in (100, 200)
    ]
    assert [question.answers[0] for question in matched[0]] == ["answer 0", "answer 1", "answer 2", "answer 3"]


def test_a_file_without_questions_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"a\.json: expected questions, found none"):
        read_questions(write(tmp_path / "a.json", []))
    (tmp_path / "b.json").write_text('{"annotations": []}')
    with pytest.raises(RecordError, match=r"b\.json: it lacks 'questions'.*; use a file of Real-3DQA's release"):
        read_questions(tmp_path / "b.json")


def test_a_question_that_occurs_twice_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"a\.json: expected each question once, found 3 twice; use a file of"):
        read_questions(write(tmp_path / "a.json", [3, 3]))
