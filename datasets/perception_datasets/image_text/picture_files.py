"""Pictures by the names of their files, wherever they lie in a data set: in folders, or in tar archives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from perception.errors import InputError, first_of
from perception.images.image import Picture
from perception_datasets.errors import bad_file
from perception_datasets.images.decoding import SUFFIXES, decode_pixels
from perception_datasets.images.records import FilePlace, Place
from perception_datasets.images.tar_index import MemberPlace, read_index


@dataclass(frozen=True)
class PictureFiles:
    """The pictures of a data set.

    Attributes:
        path: What was opened.
        places: Name of a file, without its folder → where its bytes are.
    """

    path: Path
    places: Mapping[str, Place]

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def decode(self, name: str) -> Picture:
        """Decodes a picture.

        Raises:
            RecordError: It is not there, or cannot be decoded; the message names it.
        """
        place = self.places.get(name)
        if place is None:
            raise bad_file(self.path / name, "no such picture", "add it, or leave its records out")
        return Picture(name, decode_pixels(place.read(), place.name))

    def missing(self, names: Iterable[str]) -> list[str]:
        """Names of pictures that are not there, each once, in the order in which they are asked for."""
        return [name for name in dict.fromkeys(names) if name not in self.places]


def open_picture_files(path: Path) -> PictureFiles:
    """Finds all pictures in a folder, its subfolders and the tar archives directly in it, or in one archive.

    Where a name is there twice, files win over archives, and the first of several in alphabetical order wins.

    Raises:
        InputError: There is no picture.
    """
    if path.is_file():
        places: dict[str, Place] = dict(_members(path))
    else:
        places = {}
        for name, place in (*_files(path), *_archived(path)):
            places.setdefault(name, place)
    if not places:
        kinds = ", ".join(SUFFIXES[:3])
        raise InputError(f"{path}: expected pictures ({kinds}, …) in it or in .tar archives in it, found none")
    return PictureFiles(path, places)


def warn_of_missing(missing: list[str], asked: int) -> str:
    """What to say of pictures that are not there; empty if all are."""
    if not missing:
        return ""
    return f"{len(missing):,} of {asked:,} pictures are not there, their records are left out: {first_of(missing)}"


def _files(folder: Path) -> Iterator[tuple[str, Place]]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES):
                yield name, FilePlace(Path(place) / name)


def _archived(folder: Path) -> Iterator[tuple[str, Place]]:
    for archive in sorted(folder.glob("*.tar")):
        yield from _members(archive)


def _members(archive: Path) -> Iterator[tuple[str, Place]]:
    for member in read_index(archive):
        if member.name.lower().endswith(SUFFIXES):
            yield PurePosixPath(member.name).name, MemberPlace(archive, member.name, member.offset, member.size)
