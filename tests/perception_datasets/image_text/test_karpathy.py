"""Karpathy's json: splits, the order of captions, and faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perception_datasets.errors import RecordError
from perception_datasets.image_text.karpathy import CaptionedPicture, caption_file, read_captions


def item(name: str, split: str, *captions: str) -> dict:
    return {"filename": name, "split": split, "sentences": [{"raw": text, "tokens": []} for text in captions]}


def written(folder: Path, *items: dict) -> Path:
    path = folder / "dataset_made.json"
    path.write_text(json.dumps({"images": items, "dataset": "made"}))
    return path


def test_captions_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path, item("b.jpg", "train", "z ", "a", "z"), item("a.jpg", "val", "x"), item("c.jpg", "restval", "y")
    )
    assert caption_file(tmp_path) == path
    assert read_captions(path, "train") == [
        CaptionedPicture("b.jpg", ("z", "a", "z")),
        CaptionedPicture("c.jpg", ("y",)),
    ]
    assert [of.file for of in read_captions(path, "val")] == ["a.jpg"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([item("a.jpg", "train", "x")], "expected pictures of split 'val', found those of train"),
        ([item("a.jpg", "val", "x")] * 2, r"more than one a\.jpg"),
        ([item("a.jpg", "val")], "found 'a.jpg' with 0"),
        ([{"filename": "a.jpg", "split": "val"}], "sentences"),
    ],
)
def test_faults_are_named(tmp_path: Path, items: list[dict], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_captions(written(tmp_path, *items), "val")


def test_a_folder_holds_one_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"expected one dataset_\*\.json, found none"):
        caption_file(tmp_path)


def test_the_shared_subset_has_five_captions_a_picture(real_data: Path) -> None:
    path = caption_file(real_data / "flickr8k_mini")
    for split, count in (("train", 2000), ("val", 200), ("test", 500)):
        found = read_captions(path, split)
        assert len(found) == count
        assert {len(of.captions) for of in found} == {5}
