"""Which question a record answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perception.errors import InputError
from perception_datasets.sqa3d.questions import Sqa3dQuestion
from perception_tools.answer_files.content import Record
from perception_tools.answer_files.formats import ReadingPlan
from perception_tools.scene_qa.matching import match_questions

TEXT = ReadingPlan(None, "pred", "text", None)
PLACE = ReadingPlan("lmms-eval", "pred", "place", "doc_id")
ORDER = ReadingPlan(None, "pred", "place", None)
ID = ReadingPlan(None, "pred", "question", "question_id")
TABLE, CHAIRS = "What is on the table?", "How many chairs are on my left?"


def match(asked: list[Sqa3dQuestion], plan: ReadingPlan, *items: dict[str, Any]) -> tuple[list[int], list[str]]:
    records = [Record(f"p.json, item {number}", {"pred": "a", **item}) for number, item in enumerate(items)]
    return match_questions(Path("p.json"), records, plan, asked)


def test_ids_are_checked_against_the_questions(asked: list[Sqa3dQuestion]) -> None:
    assert match(asked, ID, {"question_id": "12"}, {"question_id": 11}) == ([12, 11], [])
    with pytest.raises(
        InputError, match=r"p.json: expected ids of the 5 questions asked, found 2 unknown in question_id"
    ):
        match(asked, ID, {"question_id": 12}, {"question_id": 99}, {"question_id": 98})
    with pytest.raises(InputError, match=r"found 2 unknown in question_id \(0, 4\); give --places if they count"):
        match(asked, ID, {"question_id": 0}, {"question_id": 4})


def test_a_situation_tells_equal_questions_apart_also_an_alternative_one(asked: list[Sqa3dQuestion]) -> None:
    records = (
        {"scene_id": "scene0000_00", "prompt": f"System. i rest on  the bed.\n{TABLE} In a word."},
        {"scan_id": "scene0000_00", "situation": "I am standing by the table.", "question": TABLE},
        {"video": "scannet/scene0001_00.mp4", "instruction": "USER: Is it open? ASSISTANT:"},
    )
    assert match(asked, TEXT, *records) == ([12, 11, 15], ["the questions were found by scene and text."])


def test_questions_in_the_same_words_are_taken_in_order_and_that_is_said(asked: list[Sqa3dQuestion]) -> None:
    record = {"scene_id": "scene0001_00", "situation": "I face the window.", "question": CHAIRS}
    ids, notes = match(asked, TEXT, record, record)
    assert ids == [13, 14]
    assert notes[1].startswith("2 answers are to questions that are asked twice in the same words")
    assert match(asked, TEXT, record)[0] == [13]
    assert match(asked, TEXT, record, record, record)[0] == [13, 14, 14]  # all the same answer
    with pytest.raises(InputError, match=r"item 0: expected 2 answers to questions in these words \(13, 14\), found 3"):
        match(asked, TEXT, record, record, {**record, "pred": "b"})


def test_without_situations_the_order_decides_only_where_no_answer_is_missing(asked: list[Sqa3dQuestion]) -> None:
    record = {"scene_id": "scene0000_00", "instruction": TABLE}
    ids, notes = match(asked, TEXT, record, {**record, "pred": "b"})
    assert ids == [11, 12]
    assert "2 answers are to questions that are asked from several situations" in notes[1]
    with pytest.raises(InputError, match=r"expected 2 answers .* found 3; add the ids or the situations"):
        match(asked, TEXT, record, record, {**record, "pred": "b"})
    with pytest.raises(InputError, match=r"expected 2 answers .* found 1; add the ids or the situations"):
        match(asked, TEXT, record)


def test_a_longer_question_is_not_taken_for_one_that_it_contains() -> None:
    asked = [
        Sqa3dQuestion(number, "s", "I sit.", (), text, ("yes",))
        for number, text in ((1, "what is on the table"), (2, "what is on the table in front of me"))
    ]
    record = {"scene_id": "s", "question": "What is on the table in front of me"}
    assert match(asked, TEXT, record, {**record, "question": "What is on the table"})[0] == [2, 1]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            {"scene_id": "scene0000_00", "question": "Is it open?"},
            r"expected the text of a question about scene0000_00",
        ),
        ({"scene_id": "scene0009_00", "question": "Is it open?"}, r"one of the 2 scenes asked about.*'scene0009_00'"),
        ({"scene_id": 7, "question": "Is it open?"}, r"one of the 2 scenes asked about.*found none"),
    ],
)
def test_a_text_that_was_not_asked_is_refused(asked: list[Sqa3dQuestion], item: dict, message: str) -> None:
    with pytest.raises(InputError, match=rf"p.json, item 0: .*{message}"):
        match(asked, TEXT, item)


def test_places_count_the_questions_from_0(asked: list[Sqa3dQuestion]) -> None:
    ids, notes = match(asked, PLACE, {"doc_id": 4, "target": "['yes']"}, {"doc_id": 0, "target": "Lamp"})
    assert (ids, notes) == ([15, 11], ["doc_id counts the questions in the order of the question file, from 0."])
    ids, notes = match(asked, ORDER, {}, {})
    assert ids == [11, 12]
    assert notes[0].startswith("the records are taken for the questions in the order")
    with pytest.raises(InputError, match=r"item 0: expected a place from 0 to 4 in the question file, found 5"):
        match(asked, PLACE, {"doc_id": 5})


def test_a_field_called_target_is_compared_in_no_other_projects_file(asked: list[Sqa3dQuestion]) -> None:
    assert match(asked, ORDER, {"target": "a chair"})[0] == [11]


def test_places_of_another_order_are_refused_by_their_targets(asked: list[Sqa3dQuestion]) -> None:
    with pytest.raises(InputError, match=r"target is not the true answer of 2 of 3; name a field .* --id-field"):
        match(asked, PLACE, *({"doc_id": n, "target": t} for n, t in ((0, "yes"), (4, "lamp"), (2, "two"))))
