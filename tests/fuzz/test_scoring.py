"""Damaged question files of ScanQA, MSQA and Real-3DQA, and damaged answers to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from perception_datasets.sqa3d import msqa, real3dqa, scanqa
from perception_tools.answer_files.named_answers import read_named_answers

SCANQA = [
    {"scene_id": "s", "object_ids": [1], "question_id": "val-0", "question": "What is it?", "answers": ["a", "b"]},
    {"scene_id": "s", "object_ids": [], "question_id": "val-1", "question": "Where is it?", "answers": ["c"]},
]
MSQA = [{"index": 0, "scan_id": "s", "situation": "I", "question": "What?", "answers": ["a"], "type": "counting"}]
REAL3DQA = {
    "questions": [
        {"scene_id": "s", "situation": "I", "question": "?", "question_id": 35, "answers": [{"answer": "wall"}]}
    ]
}

ANSWERS = [{"question_id": "val-0", "answer_top10": ["a", "b"]}, {"question_id": "val-1", "answer_top10": ["c"]}]


def _read_scanqa(folder: Path) -> None:
    scanqa.read_questions(folder / "questions.json")


def _read_msqa(folder: Path) -> None:
    msqa.read_questions(folder / "questions.json")


def _read_real3dqa(folder: Path) -> None:
    real3dqa.read_questions(folder / "questions.json")


def _read_answers(folder: Path) -> None:
    read_named_answers(folder / "questions.json", {"val-0": 0, "val-1": 1})


@pytest.mark.parametrize(
    ("read", "content"),
    [(_read_scanqa, SCANQA), (_read_msqa, MSQA), (_read_real3dqa, REAL3DQA), (_read_answers, ANSWERS)],
)
def test_damaged_files_are_refused_by_name(
    fuzz: Callable[..., None], tmp_path: Path, read: Callable[[Path], None], content: object
) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "questions.json").write_text(json.dumps(content))
    fuzz(read, seeds)
