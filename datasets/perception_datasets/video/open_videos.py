"""Opens videos: detects the format of a folder by its content."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError, first_of
from perception_datasets.errors import reading
from perception_datasets.images.layout import SPLITS, check_split_path
from perception_datasets.images.records import NO_LABEL, FilePlace, number_classes
from perception_datasets.video.annotations import Annotations, find_annotations
from perception_datasets.video.decoding import SUFFIXES
from perception_datasets.video.places import Places, find_videos
from perception_datasets.video.records import Videos, videos_of

LAYOUTS = """\
  Something-Something  {split}.json (or something-something-v2-{split}.json, also in labels/) with labels.json, and the
                       videos as <id>.webm or <id>.mp4 in the folder or below it, or in *.tar
  Kinetics             {split}.csv as published, or lines of `path label`, and the videos below the folder
  folders of classes   [{split}/]<class>/<video>, also in {split}.tar
In each a video may be a folder of pictures instead, one for each image."""


def open_videos(
    path: Path,
    split: str,
    *,
    classes: Sequence[str] | None = None,
    labels: str = "",
    where: str = "",
    limit: int | None = None,
) -> Videos:
    """Opens one split of a data set of videos; reads names and labels, and no image.

    Args:
        path: Folder of the data set.
        split: `train`, `val` or `test`, or another name that it has; `val` finds `validation` too.
        classes: Names of all classes by label, such as the `classes` of the training split. If not given, the file of
            labels says them, or they are those of this split in alphabetical order.
        labels: Which of several sets of labels, see `find_annotations`.
        where: Take some videos only, as `COLUMN=VALUE` of the table `SPLIT.csv` with a column `id`.
        limit: Maximum number of videos, taken evenly from the classes.

    Returns:
        The videos; their `layout` says what was found. A video that is listed and not there is found missing when it is
        decoded.

    Raises:
        InputError: There is no such folder, its layout is not known, or it leaves a video's class open.
    """
    path = Path(path)
    check_split_path(split)
    if not path.is_dir():
        raise InputError(f"{path}: expected a folder of videos, found none; check the path")
    annotations, places = find_annotations(path, split, labels), find_videos(path, split)
    if annotations is None:
        found = _of_class_folders(path, split, places, classes)
    else:
        found = _of_annotations(path, split, annotations, places, classes)
    return (_chosen(found, where) if where else found).limited(limit)


def _of_class_folders(path: Path, split: str, places: Places, classes: Sequence[str] | None) -> Videos:
    nested = {name: place for name, place in places.items() if "/" in name}
    if not nested:
        shown = first_of(sorted(entry.name for entry in path.iterdir())) or "an empty folder"
        raise InputError(
            f"{path}: expected videos of split {split!r} in a known layout, found {shown}; give one of\n"
            f"{LAYOUTS.format(split=split)}"
        )
    folders = [name.split("/")[0] for name in nested]
    others = sorted(set(folders) & set(SPLITS))
    if others:
        raise InputError(f"{path}: expected a split {split!r}, found {first_of(others)}; name one of them")
    ordered, numbers = number_classes(folders, classes, path)
    found = [(name, int(label), place) for (name, place), label in zip(nested.items(), numbers, strict=True)]
    return videos_of(path, split, "folders of classes", ordered, found)


def _of_annotations(path: Path, split: str, said: Annotations, places: Places, classes: Sequence[str] | None) -> Videos:
    names = [name for name in said.classes_of if name is not None]
    ordered, numbers = number_classes(names, said.classes if classes is None else classes, said.path)
    by_base = {name.rpartition("/")[2]: place for name, place in places.items()}
    if not by_base:
        raise InputError(
            f"{path}: expected the videos that {said.path.name} names, found none of {', '.join(SUFFIXES)} and no "
            f"folders of pictures; put them there, as in\n{LAYOUTS.format(split=split)}"
        )
    found, known = [], iter(numbers)
    for name, class_name in zip(said.names, said.classes_of, strict=True):
        label = NO_LABEL if class_name is None else int(next(known))
        stem = name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name
        place = places.get(stem) or by_base.get(stem.rpartition("/")[2]) or FilePlace(path / name)
        found.append((name, label, place))
    return videos_of(path, split, said.layout, ordered, found)


def _chosen(videos: Videos, where: str) -> Videos:
    """The videos of which the split's table says something.

    Raises:
        InputError: The table is not there, has no such column, or no video with that value.
    """
    column, _, value = where.partition("=")
    table = videos.path / f"{videos.split}.csv"
    with reading(table, f"leave --where {where} out, or give a table with the columns id and {column}"):
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, restval=""))
        wanted = {row["id"] for row in rows if row[column] == value}
    kept = np.array([number for number, name in enumerate(videos.ids) if name in wanted], np.int64)
    if not len(kept):
        values = sorted({row[column] for row in rows})
        raise InputError(f"{table}: expected videos with {where}, found none; {column} is {first_of(values)}")
    return videos.subset(kept)
