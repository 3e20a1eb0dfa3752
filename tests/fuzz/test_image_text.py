"""Damaged files of questions about pictures and of captions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from perception_datasets.image_text.karpathy import read_captions
from perception_datasets.image_text.vqa import VqaQuestion, read_questions, write_vqa


def _read_questions(folder: Path) -> None:
    read_questions(folder / "questions.json", folder / "annotations.json")


def _read_captions(folder: Path) -> None:
    read_captions(folder / "dataset_made.json", "val")


def test_damaged_questions_are_refused_by_name(fuzz: Callable[..., None], tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    asked = [VqaQuestion(10, 1, "COCO_a_000000000001.jpg", "is it?", ("yes",) * 3, "yes", "yes/no", "is it")]
    write_vqa(seeds / "questions.json", seeds / "annotations.json", asked, data_type="made", data_subtype="a")
    fuzz(_read_questions, seeds)


def test_damaged_captions_are_refused_by_name(fuzz: Callable[..., None], tmp_path: Path) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    said = [{"raw": "a dog"}, {"raw": "two dogs"}]
    images = [{"filename": f"{i}.jpg", "split": "val", "sentences": said} for i in range(2)]
    (seeds / "dataset_made.json").write_text(json.dumps({"images": images}))
    fuzz(_read_captions, seeds)
