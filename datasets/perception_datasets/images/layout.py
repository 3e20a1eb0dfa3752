"""What the names of pictures say: their split and their class, in a folder and in an archive alike.

`[split/]class/name` is torchvision's ImageFolder. A class folder may hold all of its pictures in one more folder, as
`class/images/name` of Tiny ImageNet does; pictures deeper than that belong to several splits, as `domain/class/name`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from perception.errors import InputError, first_of
from perception_datasets.errors import bad_file
from perception_datasets.folders import is_name
from perception_datasets.images.decoding import SUFFIXES

SPLITS = ("train", "val", "validation", "test")
_ALIASES = {"val": "validation", "validation": "val"}
_DEPTH = 4


def check_split_path(split: str) -> None:
    """Raises InputError unless a text can name a split: a folder, or several of them with `/` between."""
    if not all(map(is_name, split.split("/"))):
        raise InputError(f"split: expected names of letters, digits, _, - and . with / between, found {split!r}")


def names_of_split(split: str) -> tuple[str, ...]:
    """Returns what a split may be called: `val` is `validation` too."""
    return (split, _ALIASES[split]) if split in _ALIASES else (split,)


def is_picture(name: str) -> bool:
    """Returns whether a name ends as that of a picture; hidden files, such as those of macOS, do not count."""
    base = name.rpartition("/")[2]
    return not base.startswith(".") and base.lower().endswith(SUFFIXES)


def walk(folder: Path, depth: int = _DEPTH) -> Iterator[str]:
    """Yields the names of the files below a folder, and those of empty folders with a `/` at the end, sorted."""
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    for name, is_folder in found:
        if not is_folder:
            yield name
        elif depth > 1:
            empty = True
            for inside in walk(folder / name, depth - 1):
                empty = False
                yield f"{name}/{inside}"
            if empty:
                yield f"{name}/"


def classes_of(names: Sequence[str], path: Path, split: str = "") -> list[str] | None:
    """Returns the class of each picture by its folder; None if the pictures lie side by side in one folder.

    Args:
        names: Path of each picture in its split.
        path: What to name in a message.
        split: What to put before the folders that could be a split, in a message.

    Raises:
        InputError: They lie deeper or shallower than others, or in a single folder that may be a split or a class.
    """
    parts = [name.split("/") for name in names]
    if all(len(part) == 1 for part in parts):
        return None
    shallow = next((name for name, part in zip(names, parts, strict=True) if len(part) == 1), None)
    if shallow is not None:
        cure = "move it into the folder of its class"
        raise bad_file(path / shallow, "expected each picture in the folder of a class", cure)
    inner = {"/".join(part[1:-1]) for part in parts}
    if inner not in ({""}, {"images"}):
        above = sorted({"/".join([*filter(None, [split]), *part[:-2]]) for part in parts if len(part) > 2})
        raise InputError(
            f"{path}: expected pictures in folders of classes, found folders of folders; give one of these as the "
            f"split: {first_of(above)}"
        )
    classes = [part[0] for part in parts]
    if len(set(classes)) == 1:
        raise InputError(
            f"{path}: expected folders of several classes, found {classes[0]} alone; if it is a split, give its name"
        )
    return classes


def check_label(path: Path, split: str) -> None:
    """Refuses a split that a file or folder without a split level cannot be, because it is called otherwise.

    Raises:
        InputError: Its name is that of another split; or the split is none of the usual ones.
    """
    own = Path(os.path.abspath(path)).name.removesuffix(".tar")
    if own in names_of_split(split):
        return
    if own in SPLITS:
        raise InputError(f"{path}: expected pictures of split {split!r}, found those of {own!r}; name the split {own}")
    if split not in SPLITS:
        raise InputError(
            f"{path}: expected a split {split!r} in it, found pictures without a split level; name the split train, "
            "val or test"
        )
