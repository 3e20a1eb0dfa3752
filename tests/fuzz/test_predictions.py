"""Damaged answer files: read, or refused by name."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perception.errors import InputError
from perception_datasets.sqa3d.questions import read_questions
from perception_tools.scene_qa.predictions import read_predictions
from perception_tools.scene_qa.subset import select_questions

WRITTEN = Path(__file__).parents[1] / "perception_tools" / "answer_files" / "written"


def _read_answers(folder: Path) -> None:
    """Reads every file, so that each damaged one is met; the undamaged ones can be read."""
    asked = read_questions(WRITTEN / "questions.json", WRITTEN / "annotations.json")
    for path in sorted(folder.iterdir()):
        read_predictions(path, asked)


def _read_ids(folder: Path) -> None:
    asked = read_questions(WRITTEN / "questions.json", WRITTEN / "annotations.json")
    for path in folder.iterdir():
        select_questions(asked, str(path))


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """One small file of every format, and of every way to pack it."""
    folder = tmp_path / "seeds"
    shutil.copytree(WRITTEN / "formats", folder)
    records = json.loads((folder / "leo.json").read_text())
    torch.save([{**record, "anchor": torch.zeros(3)} for record in records], folder / "results.pt")
    (folder / "packed").write_bytes(gzip.compress((folder / "llava_3d.json").read_bytes()))
    (folder / "wide").write_bytes((folder / "scanqa.json").read_text().encode("utf-16"))
    return folder


def test_damaged_answers_end_in_no_traceback(fuzz: Callable[..., None], seeds: Path) -> None:
    fuzz(_read_answers, seeds)


def test_damaged_ids_end_in_no_traceback(fuzz: Callable[..., None], tmp_path: Path) -> None:
    folder = tmp_path / "ids"
    folder.mkdir()
    (folder / "ids.txt").write_text("11\n12\n15\n")
    (folder / "ids.json").write_text("[13, 14]")
    fuzz(_read_ids, folder)


def test_what_once_failed_is_refused_by_name(corpus: Path) -> None:
    asked = read_questions(WRITTEN / "questions.json", WRITTEN / "annotations.json")
    for path in sorted(corpus.iterdir()):
        with pytest.raises(InputError, match=path.name):
            read_predictions(path, asked)
