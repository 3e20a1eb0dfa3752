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


def test_pictures_that_are_held_out_leave_training(tmp_path: Path) -> None:
    source = tmp_path / "data"
    for split in ("train", "test"):
        (source / split / "images").mkdir(parents=True)
        asked = [[f"what shape is in image {image}?", "circle", image] for image in range(4) for _ in range(2)]
        (source / split / "questions.json").write_text(json.dumps(asked))
        for image in range(4):
            Image.fromarray(np.full((8, 8, 3), image, np.uint8)).save(source / split / "images" / f"{image}.png")
    assert prepare_easy_vqa(source, tmp_path / "out", held_out=1) == {"train": 6, "val": 8, "dev": 2}
    train, dev = (open_questions(tmp_path / "out", split, None, None) for split in ("train", "dev"))
    assert {of.image_id for of in train.records} == {0, 1, 2}
    assert {of.image_id for of in dev.records} == {3}
    assert dev.files.decode(dev.records[0].image_file).pixels[0, 0].tolist() == [3, 3, 3]
    for count in (4, -1):
        with pytest.raises(InputError, match=f"--held-out {count}: expected fewer than the 4"):
            prepare_easy_vqa(source, tmp_path / "other", held_out=count)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"easy_vqa/data of the package"):
        prepare_easy_vqa(tmp_path / "data", tmp_path / "out")
