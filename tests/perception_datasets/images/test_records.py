from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception.errors import InputError
from perception_datasets.errors import Failures, RecordError
from perception_datasets.images import records
from perception_datasets.images.cropping import RandomResizedCrop
from perception_datasets.images.decoding import decode_pixels
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import FilePlace, PackedTexts, PictureSource, number_classes, read_all


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_packed_texts_are_the_texts(texts: list[str]) -> None:
    packed = PackedTexts(texts)
    assert [packed[i] for i in range(len(packed))] == texts
    assert [packed[i - len(texts)] for i in range(len(packed))] == texts
    assert list(pickle.loads(pickle.dumps(packed))) == texts
    with pytest.raises(IndexError):
        packed[len(texts)]


def test_names_that_are_no_utf8_are_kept() -> None:
    name = b"\xff.jpg".decode("utf-8", "surrogateescape")
    assert PackedTexts([name])[0] == name


def test_a_record_says_what_it_is_and_decodes(folder: Path) -> None:
    pictures = open_pictures(folder, "train")
    assert isinstance(pictures, PictureSource)
    record = pictures[4]
    path = folder / "train" / "dog" / "1.jpg"
    assert (record.id, record.label, record.class_name, record.place) == ("dog/1.jpg", 1, "dog", FilePlace(path))
    picture = pictures.decode(record)
    assert picture.id == "dog/1.jpg"
    np.testing.assert_array_equal(picture.pixels, decode_pixels(path.read_bytes(), path))
    assert [r.id for r in pictures][-1] == "owl/2.jpg"
    assert pictures[-1].id == "owl/2.jpg"
    with pytest.raises(IndexError):
        pictures[9]


def test_a_crop_is_that_of_the_file(folder: Path) -> None:
    pictures, crop = open_pictures(folder, "train"), RandomResizedCrop(16)
    record = pictures[0]
    planes = pictures.decode_crop(record, crop, np.random.default_rng(1))
    expected = crop.decode(record.place.read(), record.place.name, np.random.default_rng(1))
    np.testing.assert_array_equal(planes, expected)


def test_a_split_goes_to_workers_unchanged(folder: Path) -> None:
    pictures = open_pictures(folder, "train")
    assert list(pickle.loads(pickle.dumps(pictures))) == list(pictures)


def test_a_limit_takes_the_classes_evenly(folder: Path) -> None:
    pictures = open_pictures(folder, "train")
    assert [r.id for r in pictures.limited(4)] == ["cat/0.jpg", "cat/1.jpg", "dog/0.jpg", "owl/0.jpg"]
    assert [r.id for r in open_pictures(folder, "train", limit=2)] == ["cat/0.jpg", "dog/0.jpg"]
    assert pictures.limited(2).classes == pictures.classes
    assert pictures.limited(99) is pictures
    with pytest.raises(InputError, match="limit 0: expected at least 1 picture"):
        pictures.limited(0)


def test_a_subset_keeps_labels_and_places(folder: Path) -> None:
    pictures = open_pictures(folder, "train")
    some = pictures.subset(np.array([7, 2]))
    assert list(some) == [pictures[7], pictures[2]]
    assert list(some.subset(np.array([1]))) == [pictures[2]]


def test_what_cannot_be_read_is_passed_on_by_name(folder: Path) -> None:
    pictures, failures = open_pictures(folder, "val"), Failures()
    (folder / "val" / "dog" / "0.jpg").unlink()
    assert [record.id for record, _ in read_all(pictures, failures.add)] == ["cat/0.jpg", "owl/0.jpg"]
    assert list(failures.reasons) == ["dog/0.jpg"]
    assert "val/dog/0.jpg: no such file; copy the file again" in failures.reasons["dog/0.jpg"]


def test_a_file_that_no_picture_is_as_large_as_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_PICTURE_BYTES", 100)
    with pytest.raises(RecordError, match=r"0\.jpg: expected at most 0 MB"):
        open_pictures(folder, "val")[0].place.read()


def test_classes_are_numbered_in_alphabetical_order() -> None:
    classes, labels = number_classes(["b", "a", "b"], None, Path("set"))
    assert classes == ("a", "b")
    assert labels.tolist() == [1, 0, 1]


def test_names_take_no_more_than_their_characters_and_a_number() -> None:
    names = [f"n01440764/n01440764_{i}.JPEG" for i in range(5000)]
    packed = PackedTexts(names)
    assert len(pickle.dumps(packed)) < sum(map(len, names)) + 8 * len(names) + 1000
