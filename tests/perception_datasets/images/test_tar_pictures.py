from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception_datasets.images.decoding import Decoding, decode_pixels
from perception_datasets.images.records import Pictures
from perception_datasets.images.tar_pictures import find_archives, find_tar

WriteTar = Callable[..., Path]
Encode = Callable[..., bytes]


def find(root: Path, split: str, classes: list[str] | None = None) -> Pictures:
    found = find_tar(root, split, classes, Decoding())
    assert found is not None
    return found


@pytest.fixture
def plain(tmp_path: Path, write_tar: WriteTar, encode: Encode) -> Path:
    """An archive with two splits, one of which has two styles."""
    names = ["train/cat/1.jpg", "train/dog/1.jpg", "train/dog/2.jpg", "test/photo/cat/1.jpg", "test/photo/dog/1.jpg"]
    members = {name: encode(number) for number, name in enumerate([*names, "test/sketch/cat/1.jpg"])}
    return write_tar(tmp_path / "plain" / "set.tar", {**members, "README.txt": b"hello"})


def test_members_are_laid_out_as_folders_are(plain: Path, encode: Encode) -> None:
    for root in (plain, plain.parent):
        pictures = find(root, "train")
        assert pictures.layout == "tar (class/picture), 1 archive"
        assert [(r.id, r.label, r.class_name) for r in pictures] == [
            ("cat/1.jpg", 0, "cat"),
            ("dog/1.jpg", 1, "dog"),
            ("dog/2.jpg", 1, "dog"),
        ]
        np.testing.assert_array_equal(pictures.decode(pictures[2]).pixels, decode_pixels(encode(2), Path("x")))
        assert pictures[2].place.name == plain / "train/dog/2.jpg"
    assert [r.id for r in find(plain, "test/photo")] == ["cat/1.jpg", "dog/1.jpg"]


@pytest.mark.parametrize(
    ("split", "reason"),
    [
        ("val", r"set\.tar: expected members of split 'val', found test, train; give one of these as the split"),
        ("test", "found folders of folders; give one of these as the split: test/photo, test/sketch"),
        ("test/sketch", "expected folders of several classes, found cat alone"),
    ],
)
def test_a_split_that_is_not_there_is_refused_with_those_that_are(plain: Path, split: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        find(plain.parent, split)


def test_an_archive_of_classes_is_of_the_split_that_it_is_called(
    tmp_path: Path, write_tar: WriteTar, encode: Encode
) -> None:
    path = write_tar(tmp_path / "val.tar", {"cat/1.jpg": encode(), "dog/1.jpg": encode()})
    assert len(find(path, "validation")) == 2
    with pytest.raises(InputError, match="expected pictures of split 'train', found those of 'val'"):
        find(path, "train")
    with pytest.raises(InputError, match=r"expected files of split 'train', found val\.tar; name one of their splits"):
        find(tmp_path, "train")


def test_flat_members_take_their_labels_from_a_file_beside_the_archive(
    tmp_path: Path, write_tar: WriteTar, encode: Encode
) -> None:
    """ImageNet's own archive of the validation set."""
    names = ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"]
    write_tar(tmp_path / "ILSVRC2012_img_val.tar", {name: encode() for name in names})
    assert find(tmp_path, "val").layout == "tar without labels, 1 archive"
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("n02119789\nn01440764\n")
    pictures = find(tmp_path, "val")
    assert [(r.id, r.label) for r in pictures] == [(names[0], 1), (names[1], 0)]
    assert pictures.layout == "tar, labelled by ILSVRC2012_validation_ground_truth.txt, 1 archive"


@pytest.mark.parametrize("labels", [".cls", ".json"])
def test_shards_of_webdataset_are_one_split(tmp_path: Path, write_tar: WriteTar, encode: Encode, labels: str) -> None:
    for shard in range(2):
        members = {}
        for sample in range(3):
            key = f"{shard}{sample:03}"
            label = str(sample) if labels == ".cls" else json.dumps({"label": sample, "caption": "a"})
            members |= {f"{key}{labels}": label.encode(), f"{key}.jpg": encode(sample), f"{key}.txt": b"words"}
        write_tar(tmp_path / f"set-train-{shard:06}.tar", members)
    pictures = find(tmp_path, "train")
    assert pictures.layout == "WebDataset (key.jpg, key.cls or .json), 2 archives"
    assert [r.id for r in pictures][:4] == [
        "set-train-000000/0000",
        "set-train-000000/0001",
        "set-train-000000/0002",
        "set-train-000001/1000",
    ]
    assert [r.label for r in pictures] == [0, 1, 2] * 2
    assert pictures.classes == ("0", "1", "2")
    np.testing.assert_array_equal(pictures.decode(pictures[5]).pixels, decode_pixels(encode(2), Path("x")))
    (tmp_path / "classnames.txt").write_text("cat\ndog\nowl\nyak\n")
    assert find(tmp_path, "train")[1].class_name == "dog"
    assert find(tmp_path, "train", ["x", "y", "z"])[1].class_name == "y"
    with pytest.raises(InputError, match="expected labels from 0 to 1, found 0 to 2; give the list of this data set"):
        find(tmp_path, "train", ["x", "y"])
    with pytest.raises(InputError, match="expected pictures of split 'val', found those of 'train'"):
        find(tmp_path / "set-train-000000.tar", "val")


def test_classes_by_name_are_numbered(tmp_path: Path, write_tar: WriteTar, encode: Encode) -> None:
    members = {"a.jpg": encode(), "a.cls": b"owl", "b.jpg": encode(), "b.json": b'{"label": "cat"}'}
    pictures = find(write_tar(tmp_path / "shard-000000.tar", members), "train")
    assert [(r.id, r.class_name, r.label) for r in pictures] == [("a", "owl", 1), ("b", "cat", 0)]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"b.jpg": b"x"}, r"shard\.tar: b: expected a picture with \.cls or \.json, found jpg"),
        ({"b.cls": b"0"}, r"b: expected a picture with \.cls or \.json, found cls"),
        ({"b.jpg": b"x", "b.cls": b""}, r"b\.cls: expected a class, found ''"),
        ({"b.jpg": b"x", "b.json": b"[1]"}, r"b\.json: expected a class, found '\[1\]'"),
        ({"b.jpg": b"x", "b.json": b"{"}, r"shard\.tar: it cannot be parsed"),
        ({"b.jpg": b"x", "b.json": b'{"label": true}'}, "expected a class"),
        ({"b.jpg": b"x", "b.cls": b"-4"}, "expected labels from 0 to 0, found -4 to 0"),
    ],
)
def test_samples_without_picture_or_class_are_refused(
    tmp_path: Path, write_tar: WriteTar, members: dict[str, bytes], reason: str
) -> None:
    path = write_tar(tmp_path / "shard.tar", {"a.jpg": b"x", "a.cls": b"0", **members})
    with pytest.raises(InputError, match=reason):
        find(path, "train")


def test_a_member_that_occurs_twice_is_refused(tmp_path: Path, encode: Encode) -> None:
    import io
    import tarfile

    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name in ("train/cat/1.jpg", "train/dog/1.jpg", "train/cat/1.jpg"):
            member = tarfile.TarInfo(name)
            member.size = len(encode())
            archive.addfile(member, io.BytesIO(encode()))
    with pytest.raises(InputError, match=r"expected each member once, found cat/1\.jpg twice; write the archive anew"):
        find(tmp_path, "train")


def test_an_archive_without_pictures_is_refused(tmp_path: Path, write_tar: WriteTar) -> None:
    path = write_tar(tmp_path / "set.tar", {"a.txt": b"x"})
    with pytest.raises(InputError, match=r"expected pictures in set\.tar, found none"):
        find(path, "train")
    assert find_tar(tmp_path / "nothing", "train", None, Decoding()) is None


def test_files_are_found_by_the_split_in_their_names(tmp_path: Path) -> None:
    for name in ("train-0.tar", "x-val-1.tar", "other.tar"):
        (tmp_path / name).touch()
    assert [p.name for p in find_archives(tmp_path, "train", ".tar")] == ["train-0.tar"]
    assert [p.name for p in find_archives(tmp_path, "validation", ".tar")] == ["x-val-1.tar"]
    assert [p.name for p in find_archives(tmp_path, "test", ".tar")] == ["other.tar"]
    assert find_archives(tmp_path, "train", ".parquet") == []
