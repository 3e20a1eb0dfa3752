from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception.errors import InputError
from perception_datasets.errors import RecordError
from perception_datasets.images.masks import CocoMasks, open_masks
from perception_datasets.images.open_pictures import open_pictures
from perception_datasets.images.records import FilePlace, PictureRecord


def record(name: str) -> PictureRecord:
    return PictureRecord(name, None, None, FilePlace(Path(name)))


def write_mask(path: Path, ids: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([ids % 256, ids // 256, 0 * ids], -1).astype(np.uint8)).save(path)


@pytest.mark.parametrize("folder", ["validation-segmentation", "."])
def test_of_imagenet_s_every_class_is_the_target_and_1000_does_not_count(tmp_path: Path, folder: str) -> None:
    ids = np.array([[0, 7, 919], [1000, 0, 300]])
    write_mask(tmp_path / folder / "n01" / "a.png", ids)
    masks = open_masks(tmp_path, "val")
    mask = masks.read(record("n01/a.JPEG"), 2, 3)
    assert mask is not None
    np.testing.assert_array_equal(mask.target, [[False, True, True], [False, False, True]])
    np.testing.assert_array_equal(mask.counted, ids != 1000)
    assert masks.read(record("n01/b.JPEG"), 2, 3) is None
    with pytest.raises(RecordError, match=r"a\.png: expected a mask of 3 × 3 pixels, found \(2, 3\)"):
        masks.read(record("n01/a.JPEG"), 3, 3)


def write_boxes(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["file,label,x0,y0,x1,y1", *rows]))
    return path


def test_boxes_hold_both_ends_and_are_cut_off_at_the_border(tmp_path: Path) -> None:
    write_boxes(
        tmp_path / "test.csv", "test/n01/a.JPEG,5,1,0,2,1", "test/n01/a.JPEG,5,4,2,99,99", "n01/b.JPEG,0,0,0,0,0"
    )
    masks = open_masks(tmp_path, "test")
    mask = masks.read(record("n01/a.JPEG"), 4, 5)
    assert mask is not None
    expected = np.zeros((4, 5), bool)
    expected[0:2, 1:3] = expected[2:, 4] = True
    np.testing.assert_array_equal(mask.target, expected)
    assert mask.counted.all()
    single = masks.read(record("n01/b.JPEG"), 4, 5)
    assert single is not None
    assert single.target.sum() == 1
    assert masks.read(record("n01/c.JPEG"), 4, 5) is None


@pytest.mark.parametrize("box", ["3,0,1,1", "nan,0,1,1", "-1,0,1,1", "a,0,1,1", "0,0,inf,1", "0,0,1"])
def test_a_bad_box_is_named_and_spoils_no_other(tmp_path: Path, box: str) -> None:
    masks = open_masks(write_boxes(tmp_path / "boxes.csv", f"a.png,0,{box}", "b.png,0,0,0,1,1"), "test")
    with pytest.raises(RecordError, match=r"boxes\.csv.*a\.png|boxes\.csv.*correct the box of a\.png"):
        masks.read(record("a.png"), 4, 4)
    assert masks.read(record("b.png"), 4, 4) is not None


def test_a_table_without_boxes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("file,label\na.png,3\n")
    with pytest.raises(RecordError, match="it lacks 'x0'"):
        open_masks(tmp_path, "test")


def coco(path: Path, *objects: dict) -> Path:
    images = [{"id": 3, "file_name": "a.jpg", "height": 6, "width": 8}]
    path.write_text(json.dumps({"images": images, "annotations": [{"image_id": 3, **one} for one in objects]}))
    return path


def test_polygons_of_all_objects_are_the_target_and_crowds_do_not_count(tmp_path: Path) -> None:
    square, triangle = [1, 1, 4, 1, 4, 3, 1, 3], [5, 4, 7, 4, 7, 5]
    objects = (
        {"segmentation": [square], "iscrowd": 0},
        {"segmentation": [triangle], "iscrowd": 0},
        {"segmentation": {"counts": [1], "size": [6, 8]}, "iscrowd": 1, "bbox": [0, 0, 2, 1]},
    )
    coco(tmp_path / "instances_val.json", *objects)
    masks = open_masks(tmp_path, "val")
    mask = masks.read(record("val2017/a.jpg"), 6, 8)
    assert mask is not None
    assert mask.target[1:4, 1:5].all()
    assert mask.target[4, 5:8].all()
    assert mask.target.sum() == 12 + 4
    assert mask.counted.sum() == 48 - 6 + 2  # where the crowd's box meets an object, the object counts
    assert masks.read(record("b.jpg"), 6, 8) is None
    with pytest.raises(RecordError, match=r"a\.jpg: expected a mask of 8 × 6 pixels, found \(6, 8\)"):
        masks.read(record("a.jpg"), 8, 6)


@pytest.mark.parametrize(
    "polygons", [[[1, 1, 2, 2]], [[0, 0, 1, 1, float("nan"), 2]], [["a"] * 6], 3, [[0, 0, 1e9, 0, 1, 1]], [None]]
)
def test_a_bad_polygon_is_named(tmp_path: Path, polygons: object) -> None:
    masks = open_masks(coco(tmp_path / "x.json", {"segmentation": polygons}), "val")
    with pytest.raises(RecordError, match=r"x\.json.*correct the objects of a\.jpg"):
        masks.read(record("a.jpg"), 6, 8)


def test_what_holds_no_masks_is_refused_with_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected masks of split 'val' in a known layout(.|\n)*instances_"):
        open_masks(tmp_path, "val")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(RecordError, match=r"broken\.json: it cannot be parsed"):
        open_masks(tmp_path / "broken.json", "val")


def test_real_polygons_cover_about_the_area_that_coco_states(real_data: Path) -> None:
    folder = real_data / "coco_masks"
    if not folder.is_dir():
        pytest.skip("no coco_masks")
    masks = open_masks(folder, "val2017")
    assert isinstance(masks, CocoMasks)
    for one in open_pictures(folder, "val2017"):
        number, height, width = masks.images[one.id]
        for single in masks.annotations[number]:  # objects overlap
            mask = CocoMasks(masks.path, masks.images, {number: [single]}).read(one, height, width)
            assert mask is not None
            assert 0.95 * single["area"] < mask.target.sum() < 1.1 * single["area"] + 100  # the outline is drawn too


def test_real_boxes_lie_in_their_pictures(real_data: Path) -> None:
    folder = real_data / "tiny_imagenet40"
    if not folder.is_dir():
        pytest.skip("no tiny_imagenet40")
    masks, pictures = open_masks(folder, "test"), open_pictures(folder, "test", limit=40)
    found = [masks.read(one, 64, 64) for one in pictures]
    assert all(mask is not None and mask.target.any() for mask in found)
