"""Clouds and meshes as files in folders of classes, in a folder or a tar archive, or side by side, named as KITTI's.

`split/class/file` is the usual layout; `class/split/file` is ModelNet's own. OpenPCDet cuts objects out of KITTI's
sweeps into `frame_Class_number.bin`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from perception.errors import InputError, first_of
from perception_datasets.clouds import meshes, point_files
from perception_datasets.clouds.records import Clouds
from perception_datasets.errors import reading
from perception_datasets.images.layout import check_label, names_of_split, walk
from perception_datasets.images.records import FilePlaces, Lookup, PackedTexts, Place, number_classes
from perception_datasets.images.tar_index import MemberPlaces, read_index

_CUT_OUT = re.compile(r"\d+_([A-Za-z_]+?)_\d+\.bin")


@dataclass(frozen=True)
class FileSource:
    """Clouds that are a file each, of points or of a mesh.

    Attributes:
        places: Where their bytes are.
        is_drawn: Whether they are meshes.
    """

    places: Lookup[Place]
    is_drawn: bool

    def read(self, row: int, rng: np.random.Generator) -> Float32[np.ndarray, "points 3"]:
        """Reads the points of one cloud, or draws them from its surface."""
        place = self.places[row]
        data = place.read()
        if place.name.suffix.lower() in meshes.SUFFIXES:
            return meshes.draw_points(place.name, data, rng)
        return point_files.parse_points(place.name, data)


def find_folder(path: Path, split: str, classes: Sequence[str] | None) -> Clouds | None:
    """Returns the clouds of a split that are files of their own; None if there are none.

    Raises:
        InputError: Some are of no class.
    """
    if path.is_dir():
        with reading(path, "check that the folder can be read"):
            names = [name for name in walk(path) if _is_cloud(name)]
        archives = [] if names else sorted(path.glob("*.tar"))
        if len(archives) == 1:
            return find_folder(archives[0], split, classes)
        places: Lookup[Place] = FilePlaces(path, PackedTexts(names))
    elif path.suffix == ".tar":
        members = [member for member in read_index(path) if _is_cloud(member.name)]
        names = [member.name for member in members]
        rows = np.array([(0, member.offset, member.size) for member in members], np.int64).reshape(-1, 3)
        places = MemberPlaces((path,), PackedTexts(names), rows)
    else:
        return None
    return _of_names(path, split, classes, names, places) if names else None


def _of_names(path: Path, split: str, classes: Sequence[str] | None, names: list[str], places: Lookup[Place]) -> Clouds:
    of_split, layout = _members(path, names, split)
    if not of_split:
        tops = sorted({name.split("/")[0] for name in names})
        raise InputError(
            f"{path}: expected clouds of split {split!r} in {split}/<class>/ or <class>/{split}/, found "
            f"{first_of(tops)}; give one of its splits"
        )
    rows, stated, ids = zip(*of_split, strict=True)
    ordered, labels = number_classes(stated, classes, path)
    is_drawn = names[rows[0]].lower().endswith(meshes.SUFFIXES)
    source = FileSource(places, is_drawn)
    return Clouds(path, split, layout, ordered, PackedTexts(ids), labels, np.array(rows, np.int64), source)


def _members(path: Path, names: list[str], split: str) -> tuple[list[tuple[int, str, str]], str]:
    """Returns row, class and name of each cloud of a split, and what the layout is called."""
    splits = names_of_split(split)
    parts = [tuple(name.split("/")) for name in names]
    cut_out = "objects cut out of sweeps (frame_Class_number.bin)"
    if all(len(part) == 1 for part in parts):
        check_label(path, split)
        return _cut_out(names), cut_out
    if all(len(part) == 2 for part in parts):
        return [found for found in _cut_out(names) if names[found[0]].split("/")[0] in splits], cut_out
    found = [
        (row, part[1], "/".join(part[1:])) for row, part in enumerate(parts) if len(part) == 3 and part[0] in splits
    ]
    if found:
        return found, f"{split}/class/cloud"
    found = [
        (row, part[0], f"{part[0]}/{part[2]}") for row, part in enumerate(parts) if len(part) == 3 and part[1] in splits
    ]
    return found, f"class/{split}/cloud"


def _cut_out(names: list[str]) -> list[tuple[int, str, str]]:
    matches = [_CUT_OUT.fullmatch(name.rpartition("/")[2]) for name in names]
    return [(row, match[1], match[0]) for row, match in enumerate(matches) if match is not None]


def _is_cloud(name: str) -> bool:
    folder, _, base = name.rpartition("/")
    if base.startswith(".") or not base.lower().endswith(meshes.SUFFIXES + point_files.SUFFIXES):
        return False
    return "/" in folder or _CUT_OUT.fullmatch(base) is not None
