from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Int
from PIL import Image

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.images.class_lists import read_class_list
from perception_datasets.images.imagenet_s import IGNORED, decode_mask, open_imagenet_s


def encode_mask(ids: Int[np.ndarray, "height width"], format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.stack([ids % 256, ids // 256, 0 * ids], -1).astype(np.uint8)).save(file, format)
    return file.getvalue()


@pytest.fixture
def root(tmp_path: Path, encode: Callable[..., bytes]) -> Path:
    """Two pictures of different classes; a mask holds its class, what is ignored, and nothing."""
    for label in (4, 40):
        wnid = read_class_list("imagenet_s50")[label]
        for split in ("validation", "validation-segmentation"):
            (tmp_path / split / wnid).mkdir(parents=True)
        (tmp_path / "validation" / wnid / "a.JPEG").write_bytes(encode(label))
        ids = np.zeros((40, 48), np.int64)
        ids[:10], ids[10:20] = label + 1, IGNORED
        (tmp_path / "validation-segmentation" / wnid / "a.png").write_bytes(encode_mask(ids))
    return tmp_path


def test_a_mask_has_the_id_of_its_pictures_label(root: Path) -> None:
    opened = open_imagenet_s(root)
    assert [r.label for r in opened.pictures] == [4, 40]
    for record in opened.pictures:
        mask = opened.read_mask(record)
        assert mask.shape == opened.pictures.decode(record).pixels.shape[:2]
        assert np.unique(mask).tolist() == [0, record.label + 1, IGNORED]  # type: ignore[operator]


def test_ids_are_red_and_256_times_green() -> None:
    ids = np.array([[0, 1, 255], [256, 919, 1000]])
    np.testing.assert_array_equal(decode_mask(encode_mask(ids), Path("a.png"), 919), ids)
    with pytest.raises(RecordError, match=r"a\.png: expected ids from 0 to 50 or 1000, found 255"):
        decode_mask(encode_mask(ids), Path("a.png"), 50)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode_mask(np.zeros((2, 2), np.int64), "JPEG"), "expected a PNG file, because other formats change ids"),
        (b"", "expected a picture, found 0 bytes"),
        (encode_mask(np.zeros((20, 20), np.int64))[:50], "it cannot be parsed"),
    ],
)
def test_damaged_masks_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError, match=rf"a\.png: {reason}"):
        decode_mask(data, Path("a.png"), 50)


def test_a_picture_without_a_mask_is_refused(root: Path) -> None:
    next((root / "validation-segmentation").rglob("*.png")).unlink()
    with pytest.raises(RecordError, match=r"a\.png: expected the mask of a picture, found no file; copy the data set"):
        open_imagenet_s(root)


def test_other_classes_are_refused(root: Path) -> None:
    with pytest.raises(InputError, match="classes: expected 50, 300 or 919, got 51"):
        open_imagenet_s(root, classes=51)
    (root / "validation" / "n00000000").mkdir()
    (root / "validation" / "n00000000" / "a.JPEG").write_bytes(b"x")
    with pytest.raises(InputError, match=r"expected the classes of a list of 50 .*, found 1 others: n00000000"):
        open_imagenet_s(root)
