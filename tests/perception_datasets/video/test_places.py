from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from perception_datasets.images.records import FilePlace
from perception_datasets.images.tar_index import MemberPlace
from perception_datasets.video.places import find_videos, natural
from perception_datasets.video.records import FramesPlace


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def pack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(folder).as_posix())


def test_videos_in_folders_are_found_by_their_path_without_its_ending(tmp_path: Path) -> None:
    touch(tmp_path, "train/wave/2.mp4", "train/wave/10.webm", "train/jump/1.AVI", "train/readme.md", "test/wave/3.mp4")
    found = find_videos(tmp_path, "train")
    assert list(found) == ["jump/1", "wave/2", "wave/10"]
    assert found["wave/10"] == FilePlace(tmp_path / "train" / "wave" / "10.webm")


def test_a_folder_of_pictures_is_a_video_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    touch(tmp_path, *(f"val/wave/7/img_{n}.jpg" for n in (10, 9, 1)), "val/wave/7/.img_0.jpg", "val/cover.jpg")
    (place,) = find_videos(tmp_path, "val").values()
    assert isinstance(place, FramesPlace)
    assert [picture.name.name for picture in place.pictures] == ["img_1.jpg", "img_9.jpg", "img_10.jpg"]
    assert place.name == tmp_path / "val" / "wave" / "7"


def test_a_splits_own_archives_are_read_and_others_are_not(tmp_path: Path) -> None:
    for name, members in (("train-000.tar", ["1.webm"]), ("train-001.tar", ["2.webm"]), ("test.tar", ["3.webm"])):
        pack(tmp_path / name, touch(tmp_path / name.removesuffix(".tar") / "in", *members).parent / "in")
    for folder in ("train-000", "train-001", "test"):
        (tmp_path / folder).rename(tmp_path.parent / f"{tmp_path.name}-{folder}")
    found = find_videos(tmp_path, "train")
    assert list(found) == ["1", "2"]
    assert isinstance(found["2"], MemberPlace)
    assert found["2"].read() == b"2.webm"


def test_archives_with_a_split_level_and_pictures_work_too(tmp_path: Path) -> None:
    pack(
        tmp_path / "all.tar", touch(tmp_path.parent / f"{tmp_path.name}-in", "test/wave/1/00.png", "test/wave/1/01.png")
    )
    (name,), (place,) = zip(*find_videos(tmp_path, "test").items(), strict=True)
    assert name == "wave/1"
    assert isinstance(place, FramesPlace)
    assert place.pictures[1].read() == b"test/wave/1/01.png"


@pytest.mark.parametrize(
    ("names", "expected"), [(["a10", "a9"], ["a9", "a10"]), (["b", "1"], ["1", "b"]), (["²", "1"], ["1", "²"])]
)
def test_numbers_in_names_are_sorted_by_value(names: list[str], expected: list[str]) -> None:
    assert sorted(names, key=natural) == expected
