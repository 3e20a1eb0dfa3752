"""Where the videos of a split are: files, tar archives, or folders with a picture for each image."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from perception_datasets.errors import reading
from perception_datasets.images.layout import is_picture, names_of_split, walk
from perception_datasets.images.records import FilePlace, Place
from perception_datasets.images.tar_index import MemberPlace, read_index
from perception_datasets.video.decoding import SUFFIXES
from perception_datasets.video.records import FramesPlace

Places = dict[str, Place | FramesPlace]
"""Name of a video, which is its path in the split without its ending, → where it is; sorted."""


def find_videos(root: Path, split: str) -> Places:
    """Returns the videos of a split.

    Args:
        root: Folder of the data set.
        split: Its name. Its own folder (`split/`) or archives (`split.tar`, `split-*.tar`) are read if there are any;
            otherwise all videos and archives in the folder.

    Raises:
        RecordError: An archive is damaged.
    """
    for name in names_of_split(split):
        archives = [*sorted(root.glob(f"{name}.tar")), *sorted(root.glob(f"{name}-*.tar"))]
        if archives:
            return _of_archives(archives, (f"{name}/",))
        if (root / name).is_dir():
            return _of_folder(root / name)
    prefixes = tuple(f"{name}/" for name in names_of_split(split))
    return _of_folder(root) | _of_archives(sorted(root.glob("*.tar")), prefixes)


def natural(name: str) -> tuple:
    """Returns a key that sorts numbers in names by their value."""
    return tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in re.split(r"([0-9]{1,99})", name)
    )


def _of_folder(folder: Path) -> Places:
    with reading(folder, "check that the folder can be read"):
        names = [name for name in walk(folder) if not name.endswith("/")]
    return _grouped(folder, ((name, FilePlace(folder / name)) for name in names))


def _of_archives(archives: Iterable[Path], prefixes: tuple[str, ...]) -> Places:
    found: Places = {}
    for archive in archives:
        members: list[tuple[str, Place]] = []
        for member in read_index(archive):
            place = MemberPlace(archive, member.name, member.offset, member.size)
            prefix = next((prefix for prefix in prefixes if member.name.startswith(prefix)), "")
            members.append((member.name.removeprefix(prefix), place))
        found |= _grouped(archive, members)
    return found


def _grouped(folder: Path, files: Iterable[tuple[str, Place]]) -> Places:
    """Returns videos, and folders of pictures as a video each."""
    found: Places = {}
    pictures: dict[str, list[tuple[str, Place]]] = defaultdict(list)
    for name, place in files:
        parent, _, base = name.rpartition("/")
        if base.startswith("."):
            continue
        if base.lower().endswith(SUFFIXES):
            found[name.rpartition(".")[0]] = place
        elif parent and is_picture(base):
            pictures[parent].append((base, place))
    for parent, images in pictures.items():
        ordered = sorted(images, key=lambda image: natural(image[0]))
        found[parent] = FramesPlace(folder / parent, tuple(place for _, place in ordered))
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))
