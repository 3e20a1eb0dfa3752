from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.errors import Failures
from perception_datasets.images.class_lists import read_class_list
from perception_datasets.images.decoding import Decoding
from perception_datasets.images.open_pictures import open_pictures


def test_the_format_is_found_by_content(
    folder: Path, tmp_path: Path, write_tar: Callable[..., Path], encode: Callable[..., bytes]
) -> None:
    assert open_pictures(folder, "train").layout == "ImageFolder (class/picture)"
    archive = write_tar(tmp_path / "tar" / "a.tar", {f"val/{name}/1.jpg": encode() for name in "ab"})
    assert open_pictures(archive, "val").layout == open_pictures(archive.parent, "val").layout
    assert open_pictures(archive, "val").layout.startswith("tar (class/picture)")


def test_a_folder_of_the_split_comes_before_archives_beside_it(
    folder: Path, write_tar: Callable[..., Path], encode: Callable[..., bytes]
) -> None:
    write_tar(folder / "train.tar", {f"{name}/1.jpg": encode() for name in "ab"})
    assert open_pictures(folder, "train").layout.startswith("ImageFolder")


@pytest.mark.parametrize(
    ("path", "split", "reason"),
    [
        ("nothing", "train", "nothing: expected pictures, found no such file or folder; check the path"),
        (".", "../train", "split: expected names of letters"),
        (
            "empty",
            "train",
            r"expected pictures of split 'train' in a known layout, found an empty folder; give one of\n",
        ),
        ("words.txt", "train", "in a known layout, found a file of another kind; give one of"),
    ],
)
def test_what_is_not_there_is_refused_with_what_could_be(tmp_path: Path, path: str, split: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").touch()
    with pytest.raises(InputError, match=reason):
        open_pictures(tmp_path / path, split)


def test_options_reach_the_pictures(folder: Path) -> None:
    pictures = open_pictures(folder, "train", classes=["owl", "dog", "cat"], decoding=Decoding(max_pixels=10), limit=3)
    assert [r.label for r in pictures] == [2, 1, 0]
    failures = Failures()
    assert list(pictures.read_all(failures.add)) == []
    assert len(failures) == 3


@pytest.mark.parametrize(
    ("place", "split", "count", "classes", "layout"),
    [
        ("tiny_imagenet40", "train", 8000, 40, "tar (class/picture), 1 archive"),
        ("tiny_imagenet40", "test", 1480, 40, "tar (class/picture), 1 archive"),
        ("cifar10_jpeg", "train", 10000, 10, "tar (class/picture), 1 archive"),
        ("cifar10_jpeg", "test", 2000, 10, "tar (class/picture), 1 archive"),
        ("pacs64", "train/photo", 1342, 7, "tar (class/picture), 1 archive"),
        ("pacs64", "test/photo", 247, 7, "tar (class/picture), 1 archive"),
        ("pacs64", "test/art_painting", 420, 7, "tar (class/picture), 1 archive"),
        ("pacs64", "test/cartoon", 420, 7, "tar (class/picture), 1 archive"),
        ("pacs64", "test/sketch", 420, 7, "tar (class/picture), 1 archive"),
        ("images", "val", 21, 21, "pictures side by side, labelled by labels.csv"),
        ("images_odd", "test", 12, 0, "pictures without labels"),
        ("coco_masks", "val2017", 8, 0, "pictures without labels"),
        ("vqa_v2_mini/original_256.tar", "train2014", 60, 0, "tar without labels, 1 archive"),
    ],
)
def test_real_sets_have_their_counts(
    real_data: Path, place: str, split: str, count: int, classes: int, layout: str
) -> None:
    pictures = open_pictures(real_data / place, split)
    assert (len(pictures), len(pictures.classes), pictures.layout) == (count, classes, layout)
    assert min(pictures.decode(pictures[0]).pixels.shape[:2]) >= 32
    assert all(record.class_name in record.id for record in pictures.limited(50) if record.class_name is not None)


def test_a_split_that_a_real_set_lacks_is_refused_with_those_that_it_has(real_data: Path) -> None:
    with pytest.raises(InputError, match="expected members of split 'val', found test, train; give one of these"):
        open_pictures(real_data / "pacs64", "val")
    with pytest.raises(InputError, match=r"expected files of split 'val', found test\.tar, train\.tar; name one"):
        open_pictures(real_data / "tiny_imagenet40", "val")
    with pytest.raises(InputError, match=r"expected the classes of a list of 200 .*, found 1 others"):
        open_pictures(real_data / "tiny_imagenet40", "test", classes=read_class_list("imagenet_r"))
