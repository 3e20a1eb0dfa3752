"""Reader of Karpathy's json of pictures with captions: `dataset_flickr8k.json`, `dataset_flickr30k.json`, COCO's.

Karpathy and Fei-Fei (https://arxiv.org/abs/1412.2306). Captions keep the order of the file; METER's own converter puts
them through a set, so that their order varies between runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from perception.errors import first_of
from perception_datasets.errors import bad_file, reading

CURE = "use a dataset_*.json of https://cs.stanford.edu/people/karpathy/deepimagesent"


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture and what people said of it.

    Attributes:
        file: Name of the picture's file, without its folder.
        captions: In the order of the file; at least one.
    """

    file: str
    captions: tuple[str, ...]


def caption_file(folder: Path) -> Path:
    """Returns the only `dataset_*.json` of a folder.

    Raises:
        RecordError: There is none, or several.
    """
    found = sorted(folder.glob("dataset_*.json"))
    if len(found) != 1:
        names = first_of(path.name for path in found) or "none"
        raise bad_file(folder, f"expected one dataset_*.json, found {names}", CURE)
    return found[0]


def read_captions(path: Path, split: str) -> list[CaptionedPicture]:
    """Reads the pictures of a split in the order of the file. In COCO's, `train` takes `restval` too, as is usual.

    Raises:
        RecordError: The file is broken, a picture has no caption or stands there twice, or the split is empty.
    """
    with reading(path, CURE):
        items = json.loads(path.read_text(encoding="utf-8"))["images"]
        wanted = {"train", "restval"} if split == "train" else {split}
        found = [_picture(item) for item in items if item["split"] in wanted]
        splits = sorted({str(item["split"]) for item in items})
    if not found:
        raise bad_file(path, f"expected pictures of split {split!r}, found those of {first_of(splits)}", "name another")
    names = [picture.file for picture in found]
    if len(set(names)) < len(names):
        twice = first_of(sorted({name for name in names if names.count(name) > 1}))
        raise bad_file(path, f"expected each picture once, found more than one {twice}", CURE)
    return found


def _picture(item: dict) -> CaptionedPicture:
    name, captions = item["filename"], tuple(sentence["raw"].strip() for sentence in item["sentences"])
    if not isinstance(name, str) or not captions or not all(captions):
        raise ValueError(f"expected a file name and captions, found {name!r} with {len(captions)}")
    return CaptionedPicture(name, captions)
