"""Clouds in HDF5: ModelNet40 as `modelnet40_ply_hdf5_2048`, and the variants of ScanObjectNN.

ScanObjectNN's folder `h5_files` holds `main_split` (objects with their background) and `main_split_nobg` (without).
`{training,test}_objectdataset.h5` are OBJ_BG or OBJ_ONLY; `…_augmentedrot_scale75.h5` is PB_T50_RS, the hardest. Labels
have no names in the files; those here are of the authors' `shape_names.txt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float32

from perception.errors import InputError
from perception_datasets.clouds.records import MAX_POINTS, Clouds
from perception_datasets.errors import bad_file, reading
from perception_datasets.images.layout import names_of_split
from perception_datasets.images.records import PackedTexts

Variant = Literal["bg", "only", "t50"]
CURE = "copy the file again"
SCANOBJECTNN_CLASSES = tuple(
    "bag bin box cabinet chair desk display door shelf table bed pillow sink sofa toilet".split()
)
_FOLDERS = {"bg": "main_split", "only": "main_split_nobg", "t50": "main_split"}
_HARDEST = "_augmentedrot_scale75"
_MAX_CHUNK_BYTES = 256 << 20


@dataclass(frozen=True)
class Hdf5Source:
    """Clouds in HDF5 files, read one by one.

    Attributes:
        files: The files.
        starts: Row at which the clouds of each file begin.
    """

    files: tuple[Path, ...]
    starts: tuple[int, ...]
    is_drawn: bool = False

    def read(self, row: int, rng: np.random.Generator) -> Float32[np.ndarray, "points 3"]:  # noqa: ARG002
        """Reads the points of one cloud."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        path = self.files[number]
        import h5py

        with reading(path, CURE), h5py.File(path, "r") as file:
            values = _data(path, file)[row - self.starts[number], :, :3]
        return np.ascontiguousarray(values, np.float32)


def find_hdf5(path: Path, split: str, classes: Sequence[str] | None, variant: Variant | None) -> Clouds | None:
    """Returns the clouds of a split; None if there are no such files.

    Args:
        path: Folder with the files, or the one above ScanObjectNN's two.
        split: `train` or `test`.
        classes: Names of all classes by label; those of the data set by default.
        variant: Variant of ScanObjectNN; needed where several are there.

    Raises:
        InputError: The split or variant is not there, or a file is damaged.
    """
    found = [
        kind
        for kind in get_args(Variant)
        if variant in (None, kind)
        for file in (_scanobjectnn(path, kind, "test"),)
        if file
    ]
    if found:
        if len(found) > 1:
            raise InputError(
                f"{path}: expected one variant of ScanObjectNN, found {', '.join(found)}; name one of them, as the "
                "recipes points/scanobjectnn-bg, -only and -t50 do"
            )
        return _of_scanobjectnn(path, split, classes, found[0])
    lists = [
        path / place / f"{name}_files.txt"
        for place in (".", "modelnet40_ply_hdf5_2048")
        for name in names_of_split(split)
    ]
    listed = next((file for file in lists if file.is_file()), None)
    if listed is None:
        return None
    with reading(listed, CURE):
        files = tuple(
            listed.parent / Path(line.strip()).name for line in listed.read_text("utf-8").splitlines() if line
        )
    names = listed.parent / "shape_names.txt"
    known = None
    if names.is_file():
        with reading(names, CURE):
            known = tuple(line.strip() for line in names.read_text("utf-8").splitlines() if line.strip())
    return _of_files(listed.parent, split, "ModelNet40 in HDF5", files, classes or known)


def _scanobjectnn(path: Path, variant: Variant, prefix: str) -> Path | None:
    ending = _HARDEST if variant == "t50" else ""
    own = path.name == _FOLDERS[variant]
    place = path if own else path / _FOLDERS[variant]
    file = place / f"{prefix}_objectdataset{ending}.h5"
    return file if file.is_file() else None


def _of_scanobjectnn(path: Path, split: str, classes: Sequence[str] | None, variant: Variant) -> Clouds:
    prefix = {"train": "training", "training": "training", "test": "test"}.get(split)
    file = prefix and _scanobjectnn(path, variant, prefix)
    if not file:
        raise InputError(f"{path}: expected split train or test of ScanObjectNN, found no {split!r}; name one of them")
    return _of_files(path, split, f"ScanObjectNN ({variant})", (file,), classes or SCANOBJECTNN_CLASSES)


def _of_files(path: Path, split: str, layout: str, files: tuple[Path, ...], classes: Sequence[str] | None) -> Clouds:
    import h5py

    labels, ids, starts = [], [], []
    for file in files:
        with reading(file, CURE), h5py.File(file, "r") as opened:
            stored: Any = opened["label"]
            of_file = np.asarray(stored[()]).reshape(-1)
            data = _data(file, opened)
            if of_file.dtype.kind not in "iu" or len(of_file) != len(data) or not len(data):
                found = f"{len(of_file)} of type {of_file.dtype} for {len(data)}"
                raise bad_file(file, f"expected a whole number as the label of each cloud, found {found}", CURE)
        starts.append(sum(map(len, labels)))
        labels.append(of_file.astype(np.int64))
        ids += [f"{file.stem}/{row}" for row in range(len(of_file))]
    every = np.concatenate(labels)
    ordered = tuple(classes or map(str, range(min(int(every.max()), 10_000) + 1)))
    if not 0 <= every.min() <= every.max() < len(ordered):
        found = f"found {every.min()} to {every.max()}"
        raise InputError(f"{path}: expected labels from 0 to {len(ordered) - 1}, {found}; give this data set's classes")
    source = Hdf5Source(files, tuple(starts))
    return Clouds(path, split, layout, ordered, PackedTexts(ids), every, np.arange(len(every)), source)


def _data(path: Path, file: Any) -> Any:
    """Returns the array of clouds, which is read row by row."""
    data = file["data"]
    shape, chunk = data.shape, np.prod(data.chunks or (1,)) * data.dtype.itemsize
    if len(shape) != 3 or shape[2] < 3 or shape[1] > MAX_POINTS or data.dtype.kind != "f" or chunk > _MAX_CHUNK_BYTES:
        found = f"found {data.dtype} of shape {shape} in pieces of {chunk >> 20} MB"
        raise bad_file(path, f"expected floating-point `data` of shape (clouds, points, 3), {found}", CURE)
    return data
