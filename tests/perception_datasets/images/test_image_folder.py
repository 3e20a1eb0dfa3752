from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from perception.errors import InputError
from perception_datasets.images.decoding import Decoding
from perception_datasets.images.image_folder import check_classes, find_image_folder
from perception_datasets.images.records import Pictures


def find(root: Path, split: str, classes: list[str] | None = None) -> Pictures:
    found = find_image_folder(root, split, classes, Decoding())
    assert found is not None
    return found


def test_pictures_classes_and_labels_are_torchvisions(folder: Path) -> None:
    pictures, theirs = find(folder, "train"), ImageFolder(folder / "train")
    assert list(pictures.classes) == theirs.classes
    assert [(str(r.place.name), r.label) for r in pictures] == theirs.samples
    assert [r.class_name for r in pictures] == [theirs.classes[label] for _, label in theirs.samples]
    assert len(find(folder, "validation")) == 3


def test_a_folder_of_classes_is_the_split_that_it_is_called(folder: Path) -> None:
    assert [r.id for r in find(folder / "val", "val")] == ["cat/0.jpg", "dog/0.jpg", "owl/0.jpg"]
    with pytest.raises(InputError, match="expected pictures of split 'test', found those of 'val'"):
        find(folder / "val", "test")


def test_a_folder_with_other_splits_names_them(folder: Path) -> None:
    with pytest.raises(InputError, match=r"found folders of folders; give one of these as the split: train, val$"):
        find(folder, "test")


def test_a_class_without_pictures_is_refused_because_it_would_shift_labels(folder: Path) -> None:
    (folder / "train" / "bat").mkdir()
    with pytest.raises(
        InputError, match=r"train/bat: expected pictures of a class, found none; remove it, or give a list"
    ):
        find(folder, "train")
    assert find(folder, "train", ["bat", "cat", "dog", "owl"])[0].label == 1


def test_a_given_list_numbers_the_classes(folder: Path) -> None:
    pictures = find(folder, "val", ["owl", "yak", "dog", "cat"])
    assert [(r.class_name, r.label) for r in pictures] == [("cat", 3), ("dog", 2), ("owl", 0)]
    with pytest.raises(InputError, match=r"expected the classes of a list of 2 \(owl, dog\), found 1 others: cat"):
        find(folder, "val", ["owl", "dog"])
    with pytest.raises(InputError, match="classes: expected each name once, found more than one owl"):
        find(folder, "val", ["owl", "dog", "cat", "owl"])


def test_pictures_side_by_side_have_no_labels_unless_a_file_says_them(
    tmp_path: Path, encode: Callable[..., bytes]
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encode(format="PNG"))
    pictures = find(tmp_path, "test")
    assert (pictures.layout, pictures.classes) == ("pictures without labels", ())
    assert [(r.label, r.class_name) for r in pictures] == [(None, None)] * 2
    (tmp_path / "labels.csv").write_text("file,label\na.png,dog\nb.png,cat\n")
    pictures = find(tmp_path, "test")
    assert pictures.layout == "pictures side by side, labelled by labels.csv"
    assert [(r.label, r.class_name) for r in pictures] == [(1, "dog"), (0, "cat")]


def test_a_folder_without_pictures_is_none(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    assert find_image_folder(tmp_path, "train", None, Decoding()) is None


def test_classes_of_a_known_set_are_checked(folder: Path) -> None:
    pictures = find(folder, "val")
    assert check_classes(pictures, ("cat", "dog", "owl"), "Pets") is pictures
    with pytest.raises(InputError, match="val: expected the 4 classes of Pets, found 3 without yak; copy the data set"):
        check_classes(pictures, ("cat", "dog", "owl", "yak"), "Pets")
