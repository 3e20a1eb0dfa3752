from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.images.records import FilePlace
from perception_datasets.video.records import FramesPlace, Videos, videos_of


def frames(folder: Path, *shapes: tuple[int, int]) -> FramesPlace:
    folder.mkdir(parents=True, exist_ok=True)
    for number, shape in enumerate(shapes):
        Image.fromarray(np.full((*shape, 3), 10 * number, np.uint8)).save(folder / f"{number}.png")
    return FramesPlace(folder, tuple(FilePlace(folder / f"{number}.png") for number in range(len(shapes))))


def videos(folder: Path) -> Videos:
    found = [(f"v{n}", label, frames(folder / str(n), *[(4, 6)] * 5)) for n, label in enumerate([0, 0, 0, 1, -1])]
    return videos_of(folder, "train", "made", ("wave", "jump"), found)


def test_chosen_pictures_of_a_folder_are_a_clip(tmp_path: Path) -> None:
    split = videos(tmp_path)
    counts = []

    def choose(count: int) -> np.ndarray:
        counts.append(count)
        return np.array([3, 0, 3])

    clip = split.decode(split[3], choose)
    assert clip.id == "v3"
    assert counts == [5]
    assert clip.images.shape == (3, 4, 6, 3)
    assert clip.images[:, 0, 0, 0].tolist() == [30, 0, 30]


def test_a_record_says_its_class_and_a_video_without_a_label_says_none(tmp_path: Path) -> None:
    split = videos(tmp_path)
    assert [(record.label, record.class_name) for record in split] == [(0, "wave")] * 3 + [(1, "jump"), (None, None)]


def test_a_part_is_taken_evenly_from_the_classes(tmp_path: Path) -> None:
    split = videos(tmp_path)
    assert split.limited(3).ids == ("v0", "v3", "v4")
    assert split.limited(None) is split
    assert split.subset(np.array([4, 1])).ids == ("v4", "v1")
    with pytest.raises(InputError, match="at least 1 video"):
        split.limited(0)


def test_pictures_of_different_sizes_are_named(tmp_path: Path) -> None:
    split = videos_of(tmp_path, "train", "made", ("a",), [("v", 0, frames(tmp_path / "v", (4, 6), (4, 5)))])
    with pytest.raises(RecordError, match=r"1\.png: expected the size of the others, .*4, 6"):
        split.decode(split[0], np.arange)


def test_a_missing_file_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    split = videos_of(tmp_path, "train", "made", ("a",), [("v", 0, FilePlace(tmp_path / "v.webm"))])
    with pytest.raises(RecordError, match=r"v\.webm: "):
        split.decode(split[0], np.arange)
