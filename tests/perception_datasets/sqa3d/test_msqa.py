from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception_datasets.errors import RecordError
from perception_datasets.sqa3d.msqa import question_type, read_questions

ITEM = {
    "index": 3, "scan_id": "scene0000_00", "situation": "To my left is <chair-1-IMG>.", "question": "What color is it?",
    "answers": ["gray"], "type": "attribute-color", "location": [0.1, 0.2, 0.0], "orientation": [0.6, 0.8, 0],
}  # fmt: skip


def test_questions_are_read(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps([ITEM]))
    (question,) = read_questions(tmp_path / "test.json")
    assert (question.id, question.scan_id, question.situation) == ("3", "scene0000_00", "To my left is <chair-1-IMG>.")
    assert (question.question, question.answers, question.type) == ("What color is it?", ("gray",), "attribute-color")


def test_a_malformed_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps([ITEM, ITEM]))
    with pytest.raises(RecordError, match=r"test\.json: expected each question once, found 3 twice"):
        read_questions(tmp_path / "test.json")


@pytest.mark.parametrize(
    ("of_file", "group"),
    [
        ("counting", "counting"),
        ("attribute-color", "attribute and description"),
        ("Spatial relationship", "spatial and refer"),
        ("room type", "other"),
        ("affordance", "other"),
    ],
)
def test_types_are_grouped_as_msr3d_prints_them(of_file: str, group: str) -> None:
    assert question_type(of_file) == group
