"""The formats that the field writes, and what is wrong with files of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_tools.scene_qa.predictions import read_predictions

ANSWERS = {220602000002: ("piano", "chair"), 220602000017: ("right", "left")}
BEST = {number: ranked[:1] for number, ranked in ANSWERS.items()}


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def objects(**renamed: str) -> list[dict]:
    """A list of objects, with other names for the id or the answers."""
    id_name, answer_name = renamed.get("id", "question_id"), renamed.get("answer", "answer")
    return [{"scene_id": "scene0050_00", id_name: n, answer_name: list(ranked)} for n, ranked in ANSWERS.items()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", {str(number): list(ranked) for number, ranked in ANSWERS.items()}),
        ("p.json", {str(number): {"answers": list(ranked)} for number, ranked in ANSWERS.items()}),
        ("p.json", objects(answer="answer_top10")),
        ("p.json", objects(id="qid", answer="pred")),
        ("p.jsonl", "\n\n".join(json.dumps(item) for item in objects(answer="predictions")) + "\n"),
        ("p.csv", "question_id,answer_1,answer_2\n220602000002,piano,chair\n220602000017,right,left\n"),
        ("p.csv", "\ufeffscene,qid,answer_1,answer_2\nx,220602000017, right ,left\nx,220602000002,piano,chair\n"),
    ],
)
def test_ranked_answers_are_read_from_every_format(tmp_path: Path, name: str, content: object) -> None:
    assert read_predictions(written(tmp_path, name, content)).answers == ANSWERS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", {str(number): f" {ranked[0]}\n" for number, ranked in BEST.items()}),
        ("p.json", [{"question_id": str(number), "text": ranked[0]} for number, ranked in BEST.items()]),
        ("p.csv", 'answer,question_id\npiano,220602000002\n"right",220602000017\n'),
    ],
)
def test_a_single_answer_is_a_ranking_of_one(tmp_path: Path, name: str, content: object) -> None:
    assert read_predictions(written(tmp_path, name, content)).answers == BEST


def test_a_true_answer_beside_the_prediction_is_not_taken_for_it(tmp_path: Path) -> None:
    item = {"question_id": 1, "answer": "the truth", "answers": ["the truth"], "prediction": "a guess"}
    assert read_predictions(written(tmp_path, "p.json", [item])).answers == {1: ("a guess",)}


def test_null_and_empty_lists_are_no_answer_and_an_empty_text_is_one(tmp_path: Path) -> None:
    found = read_predictions(written(tmp_path, "p.json", {"1": None, "2": [], "3": ""}))
    assert found.answers == {1: (), 2: (), 3: ("",)}


def test_the_same_prediction_twice_is_taken_once(tmp_path: Path) -> None:
    assert read_predictions(written(tmp_path, "p.json", [*objects(), *objects()])).answers == ANSWERS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.json", '{"7": "yes", "7": "no"}', r"question 7 was answered \('yes',\) before"),
        ("p.jsonl", '{"qid": 7, "answer": "yes"}\n{"qid": 7, "answer": "no"}', r"line 2: question 7 was answered"),
        ("p.csv", "question_id,answer\n7,yes\n7,no\n", r"line 3: question 7 was answered"),
        ("p.json", {"yes": "7"}, r"question yes: expected a whole number"),
        ("p.json", [{"question_id": 2.5, "answer": "yes"}], r"item 0: expected a whole number"),
        ("p.csv", "question_id,answer\n2.2E+11,yes\n", r"line 2: expected a whole number"),
        ("p.json", {"7": 417}, r"expected an answer in words or a list of them, got 417"),
        ("p.json", {"7": ["yes", 3]}, r"expected an answer in words or a list of them"),
        ("p.json", ["yes"], r"item 0: expected an object with question_id, got 'yes'"),
        ("p.json", [{"question_id": 7, "label": "yes"}], r"expected one of prediction.*, got question_id, label"),
        ("p.csv", "7,yes\n8,no\n", r"line 2: expected an object with question_id"),
        ("p.json", "[", r"it cannot be read"),
        ("p.jsonl", '{"qid": 7, "answer": "yes"}\n{', r"it cannot be read"),
        ("p.json", "{}", r"got none; write a JSON object"),
        ("p.json", "3", r"expected predictions, got int"),
        ("p.csv", "", r"got none"),
    ],
)
def test_a_broken_file_is_refused_with_place_and_cure(tmp_path: Path, name: str, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_predictions(written(tmp_path, name, content))
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(b"\x80\x04\x95")
    for name in ("p.json", "absent.json"):
        with pytest.raises(InputError, match="it cannot be read"):
            read_predictions(tmp_path / name)


@pytest.mark.parametrize(
    ("position", "rotation"),
    [([1, 2, 0], [0, 0, 3, 4]), ({"x": 1, "y": 2, "z": 0}, {"_w": 4, "_x": 0, "_y": 0, "_z": 3})],
)
def test_a_place_is_read_as_list_or_by_key_and_its_quaternion_scaled(tmp_path: Path, position, rotation) -> None:
    item = {"question_id": 7, "answer": "yes", "position": position, "rotation": rotation}
    other = {"question_id": 8, "answer": "no", "position": None, "rotation": None}
    found = read_predictions(written(tmp_path, "p.json", [item, other]))
    assert list(found.viewpoints) == [7]
    np.testing.assert_allclose(found.viewpoints[7].position, [1, 2, 0])
    np.testing.assert_allclose(found.viewpoints[7].rotation, [0, 0, 0.6, 0.8])


@pytest.mark.parametrize(
    ("position", "rotation"),
    [([1, 2], [0, 0, 0, 1]), ([1, 2, 0], [0, 0, 0, 0]), ([1, 2, 0], "north"), ({"x": 1}, [0, 0, 0, 1])],
)
def test_a_place_that_is_none_is_refused(tmp_path: Path, position, rotation) -> None:
    item = {"question_id": 7, "answer": "yes", "position": position, "rotation": rotation}
    with pytest.raises(InputError, match=r"item 0: expected position \[x, y, z\]"):
        read_predictions(written(tmp_path, "p.json", [item]))
