from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_tools.answer_files.formats import FieldChoice
from perception_tools.answer_files.named_answers import read_named_answers

IDS = {"val-0": 0, "val-1": 1}
SAME = {0: ("a chair",), 1: ("two",)}


@pytest.mark.parametrize(
    "text",
    [
        '{"val-0": "a chair", "val-1": ["two"]}',
        '[{"question_id": "val-0", "answer_top10": ["a chair"]}, {"question_id": "val-1", "answer_top10": ["two"]}]',
        '{"sample_id": "val-0", "pred_response": "a chair", "gt_response": "sofa"}\n'
        '{"sample_id": "val-1", "pred_response": "two"}\n',
        '\ufeff[{"index": "val-0", "response_pred": "a chair ", "response_gt": []},'
        ' {"index": "val-1", "response_pred": "two"}]',
        "question_id,answer\nval-0,a chair\nval-1,two\n",
    ],
)
def test_the_same_answers_are_read_from_every_form(tmp_path: Path, text: str) -> None:
    path = tmp_path / "answers.json"
    path.write_text(text, encoding="utf-8")
    assert read_named_answers(path, IDS) == SAME


def test_ranked_answers_numbers_and_silence_are_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"val-0": ["best", "second"], "val-1": None}))
    assert read_named_answers(path, IDS) == {0: ("best", "second"), 1: ()}
    path.write_text(json.dumps([{"index": "val-0", "prediction": 2}]))
    assert read_named_answers(path, IDS) == {0: ("2",)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            [{"question_id": "val-0", "answer": "true", "model_answer": "given"}],
            "found answer .*, model_answer .*name it",
        ),
        ([{"prediction": "given"}], "expected one field of question_id"),
        ({"val-0": "chair", "val-9": "chair"}, "expected ids such as 'val-0', found 'val-9'"),
        ([{"question_id": "val-0", "text": t} for t in "ab"], "expected one answer a question, found .* for 'val-0'"),
        ({"val-0": {"a": 1}}, "expected a field with an answer"),
        ([1], "expected one field of question_id"),
        ([], "found none"),
    ],
)
def test_what_is_not_clear_is_refused_by_name(tmp_path: Path, content: object, reason: str) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"answers\.json.*: .*{reason}"):
        read_named_answers(path, IDS)


def test_the_named_fields_are_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps([{"name": "val-0", "answer": "true", "model_answer": "given"}]))
    assert read_named_answers(path, IDS, FieldChoice("model_answer", "name")) == {0: ("given",)}
