"""Clouds that lie beside lists of their splits: ModelNet's resampled text files, and ShapeNet-55's arrays.

`modelnet40_normal_resampled/` holds `modelnet40_{train,test}.txt`, `modelnet40_shape_names.txt` and
`<class>/<name>.txt`; ShapeNet-55 holds `ShapeNet-55/{train,test}.txt` and `shapenet_pc/<synset>-<model>.npy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError, first_of
from perception_datasets.clouds.cloud_folder import FileSource
from perception_datasets.clouds.records import Clouds
from perception_datasets.errors import reading
from perception_datasets.images.layout import names_of_split
from perception_datasets.images.records import FilePlaces, PackedTexts, number_classes

CURE = "copy the list of the data set again"
_MAX_LIST_BYTES = 64 << 20
_SHAPENET_FOLDERS = ("shapenet_pc", "ShapeNet55-34/shapenet_pc")


def find_modelnet_text(path: Path, split: str, classes: Sequence[str] | None) -> Clouds | None:
    """Returns ModelNet's resampled clouds (`x,y,z,nx,ny,nz` a line); None if there are none.

    Raises:
        InputError: There is no such split, a list is damaged, or none of its files is there.
    """
    for folder in (path, path / "modelnet40_normal_resampled"):
        for prefix in ("modelnet40", "modelnet10"):
            listed = folder / f"{prefix}_shape_names.txt"
            if listed.is_file():
                return _modelnet(folder, prefix, listed, split, classes)
    return None


def _modelnet(folder: Path, prefix: str, listed: Path, split: str, classes: Sequence[str] | None) -> Clouds:
    names = _read_list(folder, [f"{prefix}_{name}.txt" for name in names_of_split(split)], split)
    of_class = [name.rpartition("_")[0] for name in names]
    ordered, labels = number_classes(of_class, classes or _lines(listed), folder)
    files = [f"{kind}/{name}.txt" for kind, name in zip(of_class, names, strict=True)]
    return _made(folder, split, f"{prefix}, resampled text", ordered, names, labels, files)


def find_shapenet55(path: Path, split: str, classes: Sequence[str] | None) -> Clouds | None:
    """Returns ShapeNet-55's clouds, whose classes are WordNet synsets; None if there are none.

    Raises:
        InputError: There is no such split, its list is damaged, or none of its files is there.
    """
    places = [path / name for name in _SHAPENET_FOLDERS if (path / name).is_dir()]
    if not places:
        return None
    root = places[0].parent
    files = [f"ShapeNet-55/{name}.txt" for name in names_of_split(split)]
    names = _read_list(root, files, split)
    ordered, labels = number_classes([name.partition("-")[0] for name in names], classes, root)
    return _made(root, split, "ShapeNet-55", ordered, names, labels, [f"{places[0].name}/{name}" for name in names])


def _made(
    folder: Path,
    split: str,
    layout: str,
    classes: tuple[str, ...],
    ids: list[str],
    labels: np.ndarray,
    files: list[str],
) -> Clouds:
    """Returns listed clouds; those whose files are missing stay in the list, and are named when they are read."""
    if not any((folder / file).is_file() for file in files):
        raise InputError(
            f"{folder}: expected the files of split {split!r} ({first_of(files, 1)}), found none of {len(files):,}; "
            "extract the data set there"
        )
    source = FileSource(FilePlaces(folder, PackedTexts(files)), is_drawn=False)
    return Clouds(folder, split, layout, classes, PackedTexts(ids), labels, np.arange(len(ids)), source)


def _read_list(folder: Path, names: Sequence[str], split: str) -> list[str]:
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: expected {names[0]} for split {split!r}, found none; give train or test")
    found = _lines(path)
    if not found or len(set(found)) < len(found):
        raise InputError(f"{path}: expected names, each once, found {len(found)}, {len(set(found))} different; {CURE}")
    return found


def _lines(path: Path) -> list[str]:
    with reading(path, CURE):
        if path.stat().st_size > _MAX_LIST_BYTES:
            raise ValueError(f"expected at most {_MAX_LIST_BYTES >> 20} MB")
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
