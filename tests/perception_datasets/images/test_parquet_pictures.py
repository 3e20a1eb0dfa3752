from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.images import parquet_pictures
from perception_datasets.images.decoding import Decoding, decode_pixels
from perception_datasets.images.parquet_pictures import find_parquet
from perception_datasets.images.records import Pictures

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def write(encode: Callable[..., bytes]) -> Callable[..., Path]:
    """Writes a file as `datasets` does: five pictures in groups of two rows, by default of classes 0, 1, 2, 0, 1."""

    def make(
        path: Path, names: list[str] | None = None, labels: list[int | None] | None = None, **columns: Any
    ) -> Path:
        pictures = pa.array([{"bytes": encode(i), "path": f"{i}.jpg"} for i in range(5)], PICTURE)
        chosen = pa.array([0, 1, 2, 0, 1] if labels is None else labels, pa.int64())
        table = pa.table({"image": pictures, "label": chosen} | columns)
        features = {
            "image": {"_type": "Image"},
            "label": {"_type": "ClassLabel", **({"names": names} if names else {})},
        }
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=2)
        return path

    return make


def find(root: Path, split: str, classes: list[str] | None = None) -> Pictures:
    found = find_parquet(root, split, classes, Decoding())
    assert found is not None
    return found


def test_pictures_labels_and_names_are_those_of_the_file(
    tmp_path: Path, write: Callable[..., Path], encode: Callable[..., bytes]
) -> None:
    names = ["owl", "cat", "dog"]
    for shard in range(2):
        write(tmp_path / "data" / f"train-0000{shard}-of-00002.parquet", names)
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", names)
    pictures = find(tmp_path, "train")
    assert pictures.layout == "Parquet (column image, labels label), 2 files"
    assert pictures.classes == tuple(names)  # their order, not the alphabet's
    assert [r.label for r in pictures] == [0, 1, 2, 0, 1] * 2
    for index in (9, 0, 4, 3):
        expected = decode_pixels(encode(index % 5), Path("x"))
        np.testing.assert_array_equal(pictures.decode(pictures[index]).pixels, expected)
    assert pictures[4].id == "train-00000-of-00002/2/0"
    assert len(find(tmp_path, "val")) == 5
    with pytest.raises(
        InputError, match=r"expected files of split 'test', found train-00000.*; name one of their splits"
    ):
        find(tmp_path, "test")


def test_a_list_of_classes_renumbers_by_name(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / "train.parquet", ["owl", "cat", "dog"])
    assert [r.label for r in find(path, "train", ["cat", "dog", "owl"])] == [2, 0, 1, 2, 0]
    with pytest.raises(InputError, match="expected the classes of a list of 1"):
        find(path, "train", ["cat"])


def test_labels_without_names_are_numbers_and_a_secret_split_has_none(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    assert find(write(tmp_path / "train.parquet"), "train").classes == ("0", "1", "2")
    secret = find(write(tmp_path / "test.parquet", ["owl", "cat"], labels=[-1] * 5), "test")
    assert [r.label for r in secret] == [None] * 5


def test_a_file_without_a_label_column_has_no_labels(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    table = pa.table({"picture": pa.array([{"bytes": encode(), "path": None}], PICTURE)})
    pq.write_table(table, tmp_path / "a.parquet")
    pictures = find(tmp_path / "a.parquet", "test")
    assert (pictures.layout, pictures[0].label) == ("Parquet (column picture, labels none), 1 file", None)
    with pytest.raises(InputError, match="expected a split 'sketch' in it"):
        find(tmp_path / "a.parquet", "sketch")


def test_a_picture_that_is_not_in_the_file_is_refused_by_row(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([{"bytes": None, "path": "a.jpg"}], PICTURE), "label": [0]})
    pq.write_table(table, tmp_path / "train.parquet")
    pictures = find(tmp_path, "train")
    with pytest.raises(RecordError, match=r"train\.parquet/group 0 row 0: expected the bytes of a picture, found none"):
        pictures.decode(pictures[0])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"labels": [0, 1, 2, None, 0]}, "expected a label in each of 5 rows, found 4"),
        ({"labels": [0, 1, 2, 3, 0], "names": ["a", "b", "c"]}, "expected labels from 0 to 2, found 0 to 3"),
        ({"labels": [0, 1, -2, 0, 0]}, "expected labels from 0 to 1, found -2 to 1"),
        ({"image": [b"x"] * 5}, "expected one column of pictures, a struct with `bytes`, found 0 in image, label"),
        (
            {"mask": pa.array([{"bytes": b"x"}] * 5)},
            "expected one column of pictures, .* found 2 in image, label, mask",
        ),
    ],
)
def test_other_content_is_refused(tmp_path: Path, write: Callable[..., Path], options: dict, reason: str) -> None:
    with pytest.raises(RecordError, match=rf"{reason}.*; copy it again"):
        find(write(tmp_path / "train.parquet", **options), "train")


def test_shards_that_disagree_are_refused(tmp_path: Path, write: Callable[..., Path]) -> None:
    write(tmp_path / "train-0.parquet", ["a", "b", "c"])
    write(tmp_path / "train-1.parquet", ["c", "b", "a"])
    with pytest.raises(RecordError, match=r"train-1\.parquet: expected the columns and classes of train-0\.parquet"):
        find(tmp_path, "train")


def test_groups_of_rows_that_are_too_large_are_refused(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = find(write(tmp_path / "train.parquet"), "train")
    monkeypatch.setattr(parquet_pictures, "MAX_GROUP_BYTES", 10)
    with pytest.raises(RecordError, match=r"expected groups of at most 0 MB, .*; write it with smaller groups of rows"):
        pictures.decode(pictures[0])


def test_a_file_that_was_written_anew_is_read_anew(
    tmp_path: Path, write: Callable[..., Path], encode: Callable[..., bytes]
) -> None:
    import os

    path = write(tmp_path / "train.parquet")
    pictures = find(path, "train")
    pictures.decode(pictures[0])
    other = pa.array([{"bytes": encode(7), "path": ""}] * 5, PICTURE)
    write(path, image=other)
    os.utime(path, ns=(1, 1))
    np.testing.assert_array_equal(pictures.decode(pictures[0]).pixels, decode_pixels(encode(7), Path("x")))
    path.unlink()
    with pytest.raises(RecordError, match=r"train\.parquet: no such file"):
        pictures.decode(pictures[0])


def test_no_file_is_none(tmp_path: Path) -> None:
    assert find_parquet(tmp_path, "train", None, Decoding()) is None
