"""easy-vqa in VQAv2's format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception.errors import InputError
from perception_tools.image_text.data import open_questions
from perception_tools.image_text.prepare import prepare_easy_vqa


def test_questions_keep_their_pictures_and_answers(tmp_path: Path) -> None:
    source = tmp_path / "data"
    for split in ("train", "test"):
        (source / split / "images").mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(source / split / "images" / "5.png")
        asked = [["what shape is in the image?", "circle", 5], ["is there a circle?", "yes", 5]]
        (source / split / "questions.json").write_text(json.dumps(asked))
    assert prepare_easy_vqa(source, tmp_path / "out") == {"train": 2, "val": 2}
    assert prepare_easy_vqa(source, tmp_path / "out") == {"train": 2, "val": 2}, "again, over it"
    split = open_questions(tmp_path / "out", "val", None, None)
    first, second = split.records
    assert (first.id, first.answers, first.answer_type, first.question_type) == (
        5000, ("circle",) * 10, "other", "what shape"
    )  # fmt: skip
    assert (second.id, second.answer_type) == (5001, "yes/no")
    assert split.files.decode(first.image_file).pixels.shape == (8, 8, 3)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"easy_vqa/data of the package"):
        prepare_easy_vqa(tmp_path / "data", tmp_path / "out")
