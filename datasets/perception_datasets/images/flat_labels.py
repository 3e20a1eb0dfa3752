"""Labels of pictures that lie side by side, from a file beside them: ImageNet's devkit, Kaggle's, Tiny ImageNet's, CSV.

The devkit numbers classes by ILSVRC2012_ID, in an order of its own. Taken for labels, these numbers give a model the
accuracy of chance, so they are read only with a file that names each number's WordNet id.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from perception_datasets.errors import bad_file, reading

MAX_BYTES = 64 << 20
CURE = "copy it again from the data set"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)
_PLACES = (".", "..", "data", "ILSVRC2012_devkit_t12/data", "../ILSVRC2012_devkit_t12/data", "../devkit/data")
_WNID = re.compile(r"n\d{8}")
_FILE_COLUMNS = ("file_name", "filename", "file", "image")
_CLASS_COLUMNS = ("wnid", "class", "class_name", "label")


def find_labels(folder: Path, names: Sequence[str]) -> tuple[Path, list[str]] | None:
    """Finds the classes of pictures that lie side by side.

    Args:
        folder: Where they are.
        names: Their file names.

    Returns:
        The file with the classes, and the class of each picture; None if there is no such file.

    Raises:
        RecordError: The file lacks a picture, or cannot be read.
    """
    is_validation = all(map(_VALIDATION.fullmatch, names))
    readers: list[tuple[str, Callable[[Path, Sequence[str]], list[str]]]] = []
    if is_validation:
        readers = [
            (GROUND_TRUTH, _read_ground_truth),
            ("imagenet_2012_validation_synset_labels.txt", _read_ground_truth),
            ("LOC_val_solution.csv", _read_kaggle),
        ]
    readers += [("val_annotations.txt", _read_tiny_imagenet), ("labels.csv", _read_csv), ("metadata.csv", _read_csv)]
    for file, read in readers:
        for place in _PLACES if is_validation else (".", ".."):
            path = folder / place / file
            if path.is_file():
                with reading(path, CURE):
                    return path, read(path, names)
    return None


def _read_lines(path: Path) -> list[str]:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise bad_file(path, f"expected at most {MAX_BYTES >> 20} MB, found {size >> 20} MB", CURE)
    return path.read_text(encoding="utf-8-sig").splitlines()


def _read_ground_truth(path: Path, names: Sequence[str]) -> list[str]:
    """Reads the class of each picture by the number in its name; a line is a WordNet id or an ILSVRC2012_ID."""
    lines = [line.strip() for line in _read_lines(path)]
    numbers = [int(match[1]) for match in map(_VALIDATION.fullmatch, names) if match]
    beyond = next((number for number in numbers if not 1 <= number <= len(lines)), None)
    if beyond is not None:
        raise bad_file(path, f"expected a line for picture {beyond}, found {len(lines)} lines", CURE)
    stated = [lines[number - 1] for number in numbers]
    if all(map(_WNID.fullmatch, stated)):
        return stated
    wnid_of = _find_wnids(path.parent)
    unknown = next((text for text in stated if text not in wnid_of), None)
    if unknown is not None:
        if not wnid_of:
            cure = "put the devkit's meta.mat beside it; these numbers are not in the order of the WordNet ids"
            raise bad_file(path, "expected a file beside it that names the WordNet id of each number, found none", cure)
        raise bad_file(path, f"expected numbers of {len(wnid_of)} classes, found {unknown[:40]!r}", CURE)
    return [wnid_of[text] for text in stated]


def _find_wnids(folder: Path) -> dict[str, str]:
    """Returns ILSVRC2012_ID → WordNet id, from meta.mat, or from a text with lines of both; nothing without a file."""
    mat = folder / "meta.mat"
    if mat.is_file():
        return _read_meta(mat)
    for file in ("map_clsloc.txt", "meta.txt"):
        path = folder / file
        if path.is_file():
            with reading(path, CURE):
                return dict(_pair(path, line) for line in _read_lines(path) if line.strip())
    return {}


def _pair(path: Path, line: str) -> tuple[str, str]:
    words = line.replace("\t", " ").replace(",", " ").split()[:2]
    wnid = next((word for word in words if _WNID.fullmatch(word)), None)
    number = next((word for word in words if word.isdecimal()), None)
    if wnid is None or number is None:
        raise bad_file(path, f"expected lines with a number and a WordNet id, found {line[:60]!r}", CURE)
    return str(int(number)), wnid


def _read_meta(path: Path) -> dict[str, str]:
    """Reads the devkit's meta.mat; groups of classes, which have children, are left out."""
    from scipy.io import loadmat

    with reading(path, CURE):
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise bad_file(path, f"expected at most {MAX_BYTES >> 20} MB, found {size >> 20} MB", CURE)
        synsets = loadmat(path, squeeze_me=True, variable_names=["synsets"])["synsets"]
        columns = (synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist(), synsets["num_children"].tolist())
        wnid_of = {str(int(n)): str(wnid) for n, wnid, children in zip(*columns, strict=True) if children == 0}
        if not all(map(_WNID.fullmatch, wnid_of.values())):
            raise bad_file(path, "expected WordNet ids such as n01440764, found others", CURE)
        return wnid_of


def _read_kaggle(path: Path, names: Sequence[str]) -> list[str]:
    """Reads `ImageId,PredictionString`; the class is the first word of the second column."""
    rows = list(csv.reader(_read_lines(path)[1:]))
    class_of = {f"{row[0]}.JPEG": row[1].split()[0] for row in rows if row}
    return _look_up(path, class_of, names)


def _read_tiny_imagenet(path: Path, names: Sequence[str]) -> list[str]:
    """Reads lines of a file name, a WordNet id and a box, separated by tabs."""
    rows = [line.split("\t") for line in _read_lines(path) if line]
    return _look_up(path, {row[0]: row[1] for row in rows}, names)


def _read_csv(path: Path, names: Sequence[str]) -> list[str]:
    """Reads a table with a column of file names and one of classes."""
    rows = csv.DictReader(_read_lines(path), restval="")
    columns = rows.fieldnames or []
    file = next((column for column in _FILE_COLUMNS if column in columns), None)
    label = next((column for column in _CLASS_COLUMNS if column in columns), None)
    if file is None or label is None:
        expected = f"expected a column {' or '.join(_FILE_COLUMNS)} and a column {' or '.join(_CLASS_COLUMNS)}"
        raise bad_file(path, f"{expected}, found {', '.join(columns)[:200]}", CURE)
    return _look_up(path, {str(row[file]): str(row[label] or "") for row in rows}, names)


def _look_up(path: Path, class_of: dict[str, str], names: Sequence[str]) -> list[str]:
    missing = next((name for name in names if not class_of.get(name)), None)
    if missing is not None:
        raise bad_file(path, f"expected a class for {missing}, found none", CURE)
    return [class_of[name] for name in names]
