"""Where the target of a picture is: masks of ImageNet-S, boxes of a table, or polygons of COCO, as masks of pixels.

What counts as the target is stated by each source's `rule`, because it decides about every measure on masks:

* ImageNet-S: pixels of any class; those of id 1000 do not count.
* Boxes (`file,x0,y0,x1,y1` in `{split}.csv`, several rows to a picture): pixels in any of them, both ends included. A
  box also holds background, so that agreement with it is below agreement with a mask.
* COCO (`instances_*.json`): pixels in a polygon of any object; those in the box of a crowd (`iscrowd`) do not count.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from perception.errors import InputError
from perception_datasets.errors import bad_file, reading
from perception_datasets.images.decoding import CURE
from perception_datasets.images.imagenet_s import IGNORED, OTHER, decode_mask
from perception_datasets.images.layout import names_of_split, walk
from perception_datasets.images.records import FilePlace, PictureRecord

MOST_CLASSES = 919
"""Number of classes of the largest ImageNet-S; an id of a mask is at most that."""
MAX_TABLE_BYTES = 2 << 30
"""COCO's largest file of instances has 0.45 GB."""
BOX_COLUMNS = ("x0", "y0", "x1", "y1")
LAYOUTS = """\
  ImageNet-S   {split}-segmentation/<class>/<picture>.png, or the folder of the classes itself
  boxes        {split}.csv with the columns file, x0, y0, x1, y1 (pixels of the picture)
  COCO         instances_*.json"""


@dataclass(frozen=True)
class PictureMask:
    """The target of a picture.

    Attributes:
        target: Its pixels.
        counted: Pixels that count in a measure.
    """

    target: Bool[np.ndarray, "height width"]
    counted: Bool[np.ndarray, "height width"]


@runtime_checkable  # for the type checks of the test run
class Masks(Protocol):
    """Masks of the pictures of a split."""

    @property
    def rule(self) -> str:
        """What counts as the target, in a sentence for a report."""
        ...

    def read(self, record: PictureRecord, height: int, width: int) -> PictureMask | None:
        """The mask of a picture of this size; None where there is none.

        Raises:
            RecordError: It cannot be read, or is of another size.
        """
        ...


def open_masks(path: Path, split: str) -> Masks:
    """Opens the masks of a split; the format is found by what is there.

    Raises:
        InputError: There are none in a known format.
    """
    files = [path] if path.is_file() else []
    if path.is_dir():
        files = [path / f"{name}.csv" for name in names_of_split(split)] + sorted(path.glob("instances_*.json"))
    for file in filter(Path.is_file, files):
        if file.suffix == ".csv":
            return read_boxes(file, split)
        if file.suffix == ".json":
            return read_coco(file)
    names = [f"{name}-segmentation" for name in names_of_split(split)]
    for folder in filter(Path.is_dir, [*(path / name for name in names), path]):
        if any(name.endswith(".png") for name in walk(folder)):
            return SegmentedMasks(folder)
    raise InputError(
        f"{path}: expected masks of split {split!r} in a known layout, found none; give one of\n"
        + LAYOUTS.format(split=split)
    )


@dataclass(frozen=True)
class SegmentedMasks:
    """ImageNet-S.

    Attributes:
        folder: A mask lies there under the name of its picture, as PNG.
    """

    folder: Path

    rule = "ImageNet-S: the target is every pixel of a class (ids 1 to 919); pixels of id 1000 do not count"

    def read(self, record: PictureRecord, height: int, width: int) -> PictureMask | None:
        """See `Masks`."""
        place = FilePlace(self.folder / Path(record.id).with_suffix(".png"))
        if not place.path.is_file():
            return None
        ids = decode_mask(place.read(), place.name, MOST_CLASSES)
        _expect_size(place.name, ids.shape, (height, width))
        return PictureMask((ids != OTHER) & (ids != IGNORED), ids != IGNORED)


@dataclass(frozen=True)
class BoxMasks:
    """Boxes as masks.

    Attributes:
        path: The table.
        rows: Name of a picture → its boxes, as they are written.
    """

    path: Path
    rows: Mapping[str, Sequence[tuple[str, ...]]]

    rule = "boxes: the target is every pixel in a box, which holds background too"

    def read(self, record: PictureRecord, height: int, width: int) -> PictureMask | None:
        """See `Masks`."""
        boxes = self.rows.get(record.id)
        if boxes is None:
            return None
        target = np.zeros((height, width), bool)
        for written in boxes:
            with reading(self.path, f"correct the box of {record.id}"):
                x0, y0, x1, y1 = map(float, written)
                if not (np.isfinite([x0, y0, x1, y1]).all() and 0 <= x0 <= x1 and 0 <= y0 <= y1):
                    reason = f"{record.id}: expected a box with 0 ≤ x0 ≤ x1 and 0 ≤ y0 ≤ y1, found {written}"
                    raise bad_file(self.path, reason, "correct it")
            target[int(min(y0, height)) : int(min(y1, height)) + 1, int(min(x0, width)) : int(min(x1, width)) + 1] = (
                True
            )
        return PictureMask(target, np.ones_like(target))


def read_boxes(path: Path, split: str) -> BoxMasks:
    """Reads the boxes of a table. A picture may be named with its split before it.

    Raises:
        RecordError: It cannot be read, or lacks a column.
    """
    rows: dict[str, list[tuple[str, ...]]] = {}
    with reading(path, "give a table with the columns file, x0, y0, x1, y1"):
        _expect_bytes(path)
        with path.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file, restval=""):
                name = row["file"].removeprefix("./")
                for prefix in names_of_split(split):
                    name = name.removeprefix(f"{prefix}/")
                rows.setdefault(name, []).append(tuple(row[column] for column in BOX_COLUMNS))
    return BoxMasks(path, rows)


@dataclass(frozen=True)
class CocoMasks:
    """Polygons of COCO as masks.

    Attributes:
        path: File of the instances.
        images: Name of a picture → its id, height and width.
        annotations: Id of a picture → its objects.
    """

    path: Path
    images: Mapping[str, tuple[int, int, int]]
    annotations: Mapping[int, Sequence[Mapping[str, Any]]]

    rule = "COCO: the target is every pixel in a polygon of any object; pixels in the box of a crowd do not count"

    def read(self, record: PictureRecord, height: int, width: int) -> PictureMask | None:
        """See `Masks`."""
        if (found := self.images.get(Path(record.id).name)) is None:
            return None
        number, *size = found
        _expect_size(self.path, tuple(size), (height, width), record.id)
        target, crowd = Image.new("1", (width, height)), Image.new("1", (width, height))
        with reading(self.path, f"correct the objects of {record.id}"):
            for one in self.annotations.get(number, ()):
                if one.get("iscrowd"):
                    x, y, w, h = _finite(one["bbox"])
                    ImageDraw.Draw(crowd).rectangle((x, y, x + max(w, 0), y + max(h, 0)), fill=1)
                    continue
                for polygon in one["segmentation"]:
                    if len(polygon) < 6 or len(polygon) % 2:
                        raise ValueError(f"expected three points or more in a polygon, found {len(polygon)} numbers")
                    ImageDraw.Draw(target).polygon(_finite(polygon), fill=1, outline=1)
        ignored = np.array(crowd) & ~np.array(target)
        return PictureMask(np.array(target), ~ignored)


def read_coco(path: Path) -> CocoMasks:
    """Reads a file of instances.

    Raises:
        RecordError: It cannot be read.
    """
    with reading(path, "give a file instances_*.json as COCO has it"):
        _expect_bytes(path)
        content = json.loads(path.read_bytes())
        images = {str(i["file_name"]): (int(i["id"]), int(i["height"]), int(i["width"])) for i in content["images"]}
        annotations: dict[int, list[Mapping[str, Any]]] = {}
        for one in content["annotations"]:
            annotations.setdefault(int(one["image_id"]), []).append(one)
    return CocoMasks(path, images, annotations)


def _finite(numbers: Sequence[Any]) -> list[float]:
    found = [float(number) for number in numbers]
    if not np.isfinite(found).all() or max(map(abs, found), default=0) > 1e6:
        raise ValueError(f"expected coordinates of pixels, found {max(found, key=abs)}")
    return found


def _expect_size(path: Path, found: tuple[int, ...], expected: tuple[int, int], of: str = "") -> None:
    if found != expected:
        of = f"{of}: " if of else ""
        raise bad_file(path, f"{of}expected a mask of {expected[0]} × {expected[1]} pixels, found {found}", CURE)


def _expect_bytes(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_TABLE_BYTES:
        raise bad_file(path, f"expected at most {MAX_TABLE_BYTES >> 30} GB, found {size >> 30} GB", CURE)
