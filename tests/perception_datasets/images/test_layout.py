from __future__ import annotations

from pathlib import Path

import pytest

from perception.errors import InputError
from perception_datasets.images.layout import (
    check_label,
    check_split_path,
    classes_of,
    is_picture,
    names_of_split,
    walk,
)

ROOT = Path("set")


def test_the_class_is_the_folder() -> None:
    assert classes_of(["cat/1.jpg", "dog/2.jpg"], ROOT) == ["cat", "dog"]
    assert classes_of(["cat/images/1.jpg", "dog/images/2.jpg"], ROOT) == ["cat", "dog"]
    assert classes_of(["1.jpg", "2.jpg"], ROOT) is None


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            ["cat/1.jpg", "2.jpg"],
            "set/2.jpg: expected each picture in the folder of a class; move|set/2.jpg: expected each",
        ),
        (["photo/cat/1.jpg", "sketch/dog/2.jpg"], "found folders of folders; give one of .*: test/photo, test/sketch$"),
        (["cat/1.jpg", "dog/x/2.jpg"], "found folders of folders"),
        (
            ["cat/1.jpg", "cat/2.jpg"],
            "expected folders of several classes, found cat alone; if it is a split, give its",
        ),
    ],
)
def test_names_that_leave_the_class_open_are_refused(names: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        classes_of(names, ROOT, "test")


def test_pictures_are_told_by_their_ends() -> None:
    assert [n for n in ("a.JPEG", "b.png", "c.txt", "x/._d.jpg", "jpg", "e.jpg.txt") if is_picture(n)] == [
        "a.JPEG",
        "b.png",
    ]


def test_a_walk_is_sorted_and_names_empty_folders_and_nothing_hidden(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.jpg", "a/deep/er/still/9.jpg", ".git/x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "c").mkdir()
    assert list(walk(tmp_path)) == ["a/deep/er/", "b/1.jpg", "b/2.jpg", "c/"]
    assert list(walk(tmp_path, depth=1)) == []


def test_a_folder_without_a_split_level_is_of_the_split_that_it_is_called() -> None:
    for name, split in (("val", "validation"), ("validation", "val"), ("train.tar", "train"), ("imagenet-a", "test")):
        check_label(Path("/data") / name, split)
    with pytest.raises(
        InputError, match="expected pictures of split 'val', found those of 'train'; name the split train"
    ):
        check_label(Path("/data/train"), "val")
    with pytest.raises(InputError, match="expected a split 'sketch' in it, found pictures without a split level"):
        check_label(Path("/data/set"), "sketch")


def test_validation_has_two_names() -> None:
    assert names_of_split("val") == ("val", "validation")
    assert names_of_split("validation") == ("validation", "val")
    assert names_of_split("test/sketch") == ("test/sketch",)


@pytest.mark.parametrize("split", ["", "..", "/etc", "a//b", "a/../b", "a b", "test/"])
def test_splits_that_are_no_names_are_refused(split: str) -> None:
    with pytest.raises(InputError, match="split: expected names of letters"):
        check_split_path(split)
    check_split_path("test/sketch")
