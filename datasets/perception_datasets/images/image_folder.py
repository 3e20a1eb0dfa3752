"""Pictures as files in folders: torchvision's ImageFolder, or side by side with a file of labels (`flat_labels`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perception.errors import InputError, first_of
from perception_datasets.errors import bad_file, reading
from perception_datasets.images.decoding import Decoding
from perception_datasets.images.flat_labels import find_labels
from perception_datasets.images.layout import check_label, classes_of, is_picture, names_of_split, walk
from perception_datasets.images.records import NO_LABEL, FilePlaces, PackedTexts, Pictures, number_classes


def find_image_folder(root: Path, split: str, classes: Sequence[str] | None, decoding: Decoding) -> Pictures | None:
    """Returns the pictures of a split, which lie in `root/split`, or in `root` itself; None if there are none.

    Raises:
        InputError: They are laid out in a way that leaves their split or class open.
    """
    folder = next((root / name for name in names_of_split(split) if (root / name).is_dir()), root)
    with reading(folder, "check that the folder can be read"):
        found = list(walk(folder))
    names = [name for name in found if is_picture(name)]
    if not names:
        return None
    names_of_classes = classes_of(names, folder, split if folder != root else "")
    if folder == root:
        check_label(root, split)
    return of_files(folder, split, names, names_of_classes, classes, decoding, _without_pictures(found, names))


def of_files(
    folder: Path,
    split: str,
    names: list[str],
    names_of_classes: list[str] | None,
    classes: Sequence[str] | None,
    decoding: Decoding,
    empty: Sequence[str] = (),
) -> Pictures:
    """Returns pictures by their names in a folder.

    Args:
        folder: The folder.
        split: Name of the split.
        names: Files of the pictures.
        names_of_classes: Class of each; looked for in a file of labels if not given.
        classes: All classes by label; alphabetical if not given.
        decoding: How pictures are decoded.
        empty: Folders of classes in which no picture is; refused, because they would be numbered in another split.
    """
    layout = "ImageFolder (class/picture)"
    if names_of_classes is None:
        labelled = find_labels(folder, names)
        if labelled is None:
            labels = np.full(len(names), NO_LABEL, np.int64)
            layout = "pictures without labels"
            return Pictures(folder, split, layout, (), PackedTexts(names), labels, _places(folder, names), decoding)
        file, names_of_classes = labelled
        layout = f"pictures side by side, labelled by {file.name}"
    elif empty and classes is None:
        cure = "remove it, or give a list of the classes"
        raise bad_file(folder / empty[0], "expected pictures of a class, found none", cure)
    ordered, labels = number_classes(names_of_classes, classes, folder)
    return Pictures(folder, split, layout, ordered, PackedTexts(names), labels, _places(folder, names), decoding)


def _places(folder: Path, names: list[str]) -> FilePlaces:
    return FilePlaces(folder, PackedTexts(names))


def _without_pictures(found: list[str], names: list[str]) -> list[str]:
    folders = {name.split("/")[0] for name in found if "/" in name}
    return sorted(folders - {name.split("/")[0] for name in names})


def check_classes(pictures: Pictures, expected: Sequence[str], what: str) -> Pictures:
    """Returns pictures whose classes are those of a known set.

    Raises:
        InputError: They are others.
    """
    if pictures.classes != tuple(expected):
        missing = sorted(set(expected) - set(pictures.classes))
        raise InputError(
            f"{pictures.path}: expected the {len(expected)} classes of {what}, found {len(pictures.classes)}"
            + (f" without {first_of(missing)}" if missing else "")
            + "; copy the data set again"
        )
    return pictures
