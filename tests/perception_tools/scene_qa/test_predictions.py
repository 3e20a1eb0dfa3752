"""The formats that the field writes, and what is wrong with files of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.errors import InputError
from perception_datasets.sqa3d.questions import Sqa3dQuestion, question_files, read_questions
from perception_tools.answer_files.formats import FieldChoice
from perception_tools.scene_qa.predictions import AnswerPredictions, read_predictions

WRITTEN = Path(__file__).parents[1] / "answer_files" / "written"
ANSWERS = {11: ("lamp",), 12: ("a chair",), 13: ("two",), 14: ("3",), 15: ("no",)}


@pytest.fixture(scope="module")
def asked() -> list[Sqa3dQuestion]:
    """The questions that the files in `written` answer."""
    return read_questions(WRITTEN / "questions.json", WRITTEN / "annotations.json")


@pytest.fixture
def read(tmp_path: Path, asked: list[Sqa3dQuestion]):
    """Reads a file of the given content."""

    def read_content(content: Any, choice: FieldChoice | None = None) -> AnswerPredictions:
        path = tmp_path / "p.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_predictions(path, asked, choice)

    return read_content


@pytest.mark.parametrize("path", sorted((WRITTEN / "formats").iterdir()), ids=lambda path: path.name)
def test_the_same_answers_are_read_from_the_files_of_every_project(path: Path, asked: list[Sqa3dQuestion]) -> None:
    assert read_predictions(path, asked).answers == ANSWERS


def test_results_of_torch_are_read_as_those_of_json(tmp_path: Path, asked: list[Sqa3dQuestion]) -> None:
    for name in ("leo", "msr3d"):
        records = json.loads((WRITTEN / "formats" / f"{name}.json").read_text())
        torch.save([{**record, "anchor": torch.zeros(3)} for record in records], tmp_path / "results.pt")
        assert read_predictions(tmp_path / "results.pt", asked).answers == ANSWERS


def test_ids_that_are_places_are_read_where_that_is_asked_for(asked: list[Sqa3dQuestion]) -> None:
    path = WRITTEN / "3d_llm.json"
    assert read_predictions(path, asked, FieldChoice(places=True)).answers == ANSWERS
    with pytest.raises(InputError, match="give --places if they count the questions from 0"):
        read_predictions(path, asked)


def test_ranked_answers_are_read(read) -> None:
    for content in (
        {"11": ["piano", "chair"]},
        [{"qid": "11", "predictions": ["piano", "chair"]}],
        "id,answer_1,answer_2\n11,piano,chair\n",
    ):
        assert read(content).answers == {11: ("piano", "chair")}


def test_null_and_empty_lists_are_no_answer_and_an_empty_text_is_one(read) -> None:
    assert read({"11": None, "12": [], "13": ""}).answers == {11: (), 12: (), 13: ("",)}
    assert read("question_id,answer\n11,\n12,no\n").answers == {11: (), 12: ("no",)}


def test_a_truth_beside_a_prediction_is_refused_until_an_option_decides(read) -> None:
    content = [{"question_id": 11, "answer": "left", "model_answer": "right"}]
    with pytest.raises(InputError, match=r"found answer \('left'\), model_answer \('right'\); .* --answer-field"):
        read(content)
    assert read(content, FieldChoice(answer="model_answer")).answers == {11: ("right",)}


def test_what_was_read_and_what_was_not_is_said_once(asked: list[Sqa3dQuestion], read) -> None:
    assert read_predictions(WRITTEN / "formats" / "chat_scene.json", asked).notes == [
        "chat_scene.json: read as Chat-Scene writes it, the answer in pred; not read: obj_id, qid, ref_captions.",
        "chat_scene.json: the questions were found by scene and text.",
        "chat_scene.json: 2 answers are to questions that are asked twice in the same words; they were taken in order.",
    ]
    assert read({"11": "yes"}).notes == []
    assert read([{"qid": 11, "answer": "a"}, {"qid": 12, "answer": "b", "gt": "c"}]).notes == [
        "p.json: read the answer in answer; not read: gt."
    ]


def test_the_same_prediction_twice_is_taken_once_and_counted(read) -> None:
    record = {"question_id": 11, "prediction": "lamp"}
    found = read([record, {"question_id": 12, "prediction": "bed"}, record, record])
    assert found.answers == {11: ("lamp",), 12: ("bed",)}
    assert found.notes == ["p.json: repeated with the same value: 2 questions or fields; each counts once."]
    assert len(read('{"11": "lamp", "11": "lamp"}').notes) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"11": "yes", "11": "no"}', r"found '11' with 'yes' and with 'no'; keep one"),
        ('{"qid": 11, "answer": "yes"}\n{"qid": 11, "answer": "no"}', r"line 2: .*'no',\) for question 11, which was"),
        ("question_id,answer\n11,yes\n11,no\n", r"line 3: expected one prediction a question"),
        ([{"question_id": 2.5, "answer": "yes"}], r"item 0: expected a whole number as question_id, found 2.5"),
        ({"11": ["yes", None]}, r"question 11: expected an answer in words"),
        ({"11": {"label": "yes"}}, r"expected a field with an answer, found question_id, label"),
        ([{"qid": 11, "answer": "a"}, {"qid": 12}], r"item 1: expected the field answer, found qid"),
        ({"11": "yes", "x": "no"}, r"question x: expected a whole number"),
        ({"99": "yes"}, r"p.json: expected ids of the 5 questions asked, found 1 unknown"),
        (["yes"], r"expected question_id, or scene_id .*, found answer in the first record"),
        ("[]", r"found none"),
        ("{}", r"found none"),
        ("3", r"expected a field with an answer|found none"),
    ],
)
def test_a_broken_file_is_refused_with_place_and_cure(read, tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(content)
    assert str(tmp_path / "p.json") in str(caught.value)


def test_the_askers_place_is_read_where_both_parts_of_it_are_given(read) -> None:
    item = {"question_id": 11, "answer": "yes", "position": [1, 2, 0], "rotation": [0, 0, 3, 4]}
    found = read([item, {"question_id": 12, "answer": "no", "position": None, "rotation": None}])
    assert list(found.viewpoints) == [11]
    np.testing.assert_allclose(found.viewpoints[11].rotation, [0, 0, 0.6, 0.8])


def test_the_true_pose_in_the_records_of_a_project_is_no_guess(asked: list[Sqa3dQuestion]) -> None:
    for path in (WRITTEN / "formats").iterdir():
        assert read_predictions(path, asked).viewpoints == {}


def test_the_released_test_split_is_matched_by_text_as_by_id(real_data: Path, tmp_path: Path) -> None:
    asked = read_questions(*question_files(real_data / "sqa3d", "test"))
    answers = {question.id: (f"{number}",) for number, question in enumerate(asked)}
    told = {question.id: (*question.alternative_situations, question.situation)[0] for question in asked}
    chat_scene = [
        {"scene_id": q.scene_id, "qid": 0, "prompt": f"{told[q.id]} {q.question} In a word.", "pred": answers[q.id][0]}
        for q in asked
    ]
    msr3d = [
        {"scan_id": q.scene_id, "instruction": f"USER: {q.question} ASSISTANT:", "response_pred": answers[q.id][0]}
        for q in asked
    ]
    (tmp_path / "p.json").write_text(json.dumps([{**record, "ref_captions": []} for record in chat_scene]))
    found = read_predictions(tmp_path / "p.json", asked)
    assert found.answers == answers
    assert sum(": 6 answers are to questions that are asked twice in the same words" in n for n in found.notes) == 1
    (tmp_path / "p.json").write_text(json.dumps(msr3d))
    found = read_predictions(tmp_path / "p.json", asked)
    assert found.answers == answers
    assert sum(": 205 answers are to questions that are asked from several" in note for note in found.notes) == 1
