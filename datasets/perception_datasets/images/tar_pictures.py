"""Pictures in tar archives: shards of WebDataset, or members `[split/]class/name`; each can be read alone.

A sample of WebDataset (https://github.com/webdataset/webdataset) is a run of members that agree up to the first dot
of their file name: `key.jpg` with `key.cls`, a number, or `key.json`, an object with `label`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from perception.errors import InputError, first_of
from perception_datasets.errors import bad_file, reading
from perception_datasets.images.decoding import Decoding
from perception_datasets.images.flat_labels import find_labels
from perception_datasets.images.layout import SPLITS, check_label, classes_of, is_picture, names_of_split
from perception_datasets.images.records import NO_LABEL, PackedTexts, Pictures, number_classes
from perception_datasets.images.tar_index import CURE, Member, MemberPlaces, read_index

_LABEL_SUFFIXES = ("cls", "json")
_MAX_LABEL_BYTES = 1 << 20
_CLASS_FILES = ("classes.txt", "classnames.txt", "synsets.txt")


def find_archives(root: Path, split: str, suffix: str) -> list[Path]:
    """Returns the files of a split by their names, such as `train.tar` or `imagenet-train-000000.tar`.

    Where no name says the split, these are all that do not name another one: they may hold several splits.
    """
    if root.is_file():
        return [root] if root.suffix == suffix else []
    own = names_of_split(split.split("/")[0])
    for folder in (*(root / name for name in own), root, root / "data"):
        files = sorted(path for path in folder.glob(f"*{suffix}") if path.is_file()) if folder.is_dir() else []
        if files and folder.name in own and folder != root:
            return files
        named = [path for path in files if any(_says(path, name) for name in own)]
        unnamed = [path for path in files if not any(_says(path, name) for name in SPLITS)]
        if named or unnamed:
            return named or unnamed
        if files:
            raise InputError(
                f"{folder}: expected files of split {split!r}, found {first_of(path.name for path in files)}; name "
                "one of their splits"
            )
    return []


def _says(path: Path, split: str) -> bool:
    return re.search(rf"(^|[-_.]){re.escape(split)}([-_.]|$)", path.name) is not None


def find_tar(root: Path, split: str, classes: Sequence[str] | None, decoding: Decoding) -> Pictures | None:
    """Returns the pictures of a split that are in archives; None if there is no archive.

    Raises:
        InputError: An archive cannot be read, or does not say the split or class of its pictures.
    """
    archives = find_archives(root, split, ".tar")
    if not archives:
        return None
    indices = [read_index(path) for path in archives]
    if any(map(_is_webdataset, indices)):
        return _webdataset(root, archives, indices, split, classes, decoding)
    members = [(number, m) for number, index in enumerate(indices) for m in index if is_picture(m.name)]
    if not members:
        raise bad_file(root, f"expected pictures in {first_of(p.name for p in archives)}, found none", CURE)
    kept, names = _of_split(members, split, root if len(archives) > 1 else archives[0])
    stated = classes_of(names, root, split)
    layout = "tar (class/picture)"
    if stated is None:
        labelled = find_labels(root if root.is_dir() else root.parent, [name.rpartition("/")[2] for name in names])
        layout = f"tar, labelled by {labelled[0].name}" if labelled else "tar without labels"
        stated = labelled[1] if labelled else None
    if stated is None:
        ordered, labels = (), np.full(len(names), NO_LABEL, np.int64)
    else:
        ordered, labels = number_classes(stated, classes, root)
    ids, places = _places(root, archives, kept, names)
    return Pictures(root, split, _of_archives(layout, archives), ordered, ids, labels, places, decoding)


def _is_webdataset(members: list[Member]) -> bool:
    """Returns whether a label lies beside the first picture."""
    picture = next((member.name for member in members if is_picture(member.name)), None)
    if picture is None:
        return False
    folder, slash, base = picture.rpartition("/")
    beside = {f"{folder}{slash}{base.partition('.')[0]}.{suffix}" for suffix in _LABEL_SUFFIXES}
    return any(member.name in beside for member in members)


def _of_split(members: list[tuple[int, Member]], split: str, path: Path) -> tuple[list[tuple[int, Member]], list[str]]:
    """Returns the members of a split, and their names without it."""
    for name in names_of_split(split):
        kept = [(number, m) for number, m in members if m.name.startswith(f"{name}/")]
        if kept:
            return kept, [m.name.removeprefix(f"{name}/") for _, m in kept]
    tops = sorted({m.name.split("/")[0] for _, m in members if "/" in m.name})
    deepest = max(m.name.count("/") for _, m in members)
    if deepest > 1 or len(tops) == 1 or set(tops) & set(SPLITS):
        found = f"expected members of split {split!r}, found {first_of(tops)}"
        raise InputError(f"{path}: {found}; give one of these as the split")
    check_label(path, split)
    return members, [m.name for _, m in members]


def _places(
    root: Path, archives: list[Path], kept: list[tuple[int, Member]], names: list[str]
) -> tuple[PackedTexts, MemberPlaces]:
    """Returns names and places of pictures; with several archives the names begin with that of the archive."""
    if len(archives) > 1:
        names = [f"{archives[number].stem}/{name}" for (number, _), name in zip(kept, names, strict=True)]
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise bad_file(root, f"expected each member once, found {twice} twice", "write the archive anew")
    rows = np.array([(number, member.offset, member.size) for number, member in kept], np.int64).reshape(-1, 3)
    return PackedTexts(names), MemberPlaces(tuple(archives), PackedTexts(m.name for _, m in kept), rows)


def _of_archives(layout: str, archives: list[Path]) -> str:
    return f"{layout}, {len(archives)} archive{'s' * (len(archives) > 1)}"


def _webdataset(
    root: Path,
    archives: list[Path],
    indices: list[list[Member]],
    split: str,
    classes: Sequence[str] | None,
    decoding: Decoding,
) -> Pictures:
    if root.is_file():
        own = next((name for name in SPLITS if _says(root, name)), None)
        if own is not None and own not in names_of_split(split):
            raise InputError(f"{root}: expected pictures of split {split!r}, found those of {own!r}; name that split")
    kept: list[tuple[int, Member]] = []
    keys: list[str] = []
    stated: list[str | int] = []
    for number, (path, members) in enumerate(zip(archives, indices, strict=True)):
        with reading(path, CURE), path.open("rb") as file:
            for key, parts in _samples(members).items():
                picture = next((m for suffix, m in parts.items() if is_picture(f"x.{suffix}")), None)
                label = next((parts[suffix] for suffix in _LABEL_SUFFIXES if suffix in parts), None)
                if picture is None or label is None:
                    found = f"{key}: expected a picture with .cls or .json, found {', '.join(parts)}"
                    raise bad_file(path, found, CURE)
                file.seek(label.offset)
                stated.append(_read_label(path, label, file.read(min(label.size, _MAX_LABEL_BYTES))))
                kept.append((number, picture))
                keys.append(key)
    ordered, labels = _number(stated, classes, _class_file(root), root)
    ids, places = _places(root, archives, kept, keys)
    layout = _of_archives("WebDataset (key.jpg, key.cls or .json)", archives)
    return Pictures(root, split, layout, ordered, ids, labels, places, decoding)


def _samples(members: list[Member]) -> dict[str, dict[str, Member]]:
    """Groups members by their names up to the first dot of the last part."""
    samples: dict[str, dict[str, Member]] = {}
    for member in members:
        folder, slash, base = member.name.rpartition("/")
        key, _, suffix = base.partition(".")
        if key and not key.startswith("__"):  # WebDataset's own keys
            samples.setdefault(f"{folder}{slash}{key}", {})[suffix.lower()] = member
    return samples


def _read_label(path: Path, member: Member, content: bytes) -> str | int:
    text = content.decode("utf-8")
    if member.name.endswith(".json"):
        sample = json.loads(text)
        known = (sample.get(key) for key in ("label", "cls", "class")) if isinstance(sample, dict) else ()
        label = next((value for value in known if value is not None), None)
    else:
        label = text.strip()
        label = int(label) if label.removeprefix("-").isdecimal() else label
    if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
        raise bad_file(path, f"{member.name}: expected a class, found {text[:60]!r}", CURE)
    return label


def _class_file(root: Path) -> tuple[str, ...] | None:
    folder = root if root.is_dir() else root.parent
    path = next((folder / name for name in _CLASS_FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    with reading(path, CURE):
        return tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())


def _number(
    stated: list[str | int], classes: Sequence[str] | None, listed: tuple[str, ...] | None, root: Path
) -> tuple[tuple[str, ...], Int64[np.ndarray, " pictures"]]:
    """Numbers classes that are stated by name, or checks those that are stated by number."""
    if any(isinstance(label, str) for label in stated):
        return number_classes([str(label) for label in stated], classes or listed, root)
    numbers = np.array([min(int(label), 1 << 62) for label in stated], np.int64)
    ordered = tuple(classes or listed or map(str, range(int(min(numbers.max(), 1 << 20)) + 1)))
    if not 0 <= numbers.min() <= numbers.max() < len(ordered):
        expected = f"expected labels from 0 to {len(ordered) - 1}, found {numbers.min()} to {numbers.max()}"
        raise InputError(f"{root}: {expected}; give the list of this data set's classes")
    return ordered, numbers
