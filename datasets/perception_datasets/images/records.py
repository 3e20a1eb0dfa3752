"""Pictures with labels as a sequence of records, independent of the format on disk; pixels are decoded on demand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Int64, UInt8

from perception.errors import InputError, first_of
from perception.images.image import Picture
from perception_datasets.errors import RecordError, bad_file, reading
from perception_datasets.images.cropping import RandomResizedCrop
from perception_datasets.images.decoding import CURE, Decoding, decode_pixels

MAX_PICTURE_BYTES = 256 << 20
NO_LABEL = -1

_Item = TypeVar("_Item", covariant=True)


@runtime_checkable  # for the type checks of the test run
class Lookup(Protocol[_Item]):
    """What has a length and gives an item by its number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> _Item: ...


@runtime_checkable
class Place(Protocol):
    """Where the bytes of a picture are."""

    @property
    def name(self) -> Path:
        """Path to name in a message; of a member of an archive, that of the archive goes on with the member's."""
        ...

    def read(self) -> bytes:
        """Reads them; raises RecordError if it cannot."""
        ...


@dataclass(frozen=True)
class FilePlace:
    """A file of its own."""

    path: Path

    @property
    def name(self) -> Path:
        """The file."""
        return self.path

    def read(self) -> bytes:
        """Reads the file."""
        with reading(self.path, CURE):
            size = self.path.stat().st_size
            if size > MAX_PICTURE_BYTES:
                raise bad_file(self.path, f"expected at most {MAX_PICTURE_BYTES >> 20} MB, found {size >> 20} MB", CURE)
            return self.path.read_bytes()


@dataclass(frozen=True)
class PictureRecord:
    """A picture that is not decoded.

    Attributes:
        id: Name in its split.
        label: Index of its class; None where the split has no labels.
        class_name: Name of the class, a WordNet id in ImageNet's sets.
        place: Where its bytes are.
    """

    id: str
    label: int | None
    class_name: str | None
    place: Place


@runtime_checkable
class PictureSource(Protocol):
    """Interface of what is trained and evaluated on: a sequence of records, which can be decoded."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> PictureRecord: ...

    def decode(self, record: PictureRecord) -> Picture:
        """Decodes a record's picture; raises RecordError if it cannot."""
        ...


class PackedTexts:
    """Texts in one array.

    A list of a million names is a million objects, which every process that reads it copies: reading an object counts
    its references, and that writes to its page of memory.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._ends = np.fromiter(itertools.accumulate(map(len, encoded), initial=0), np.int64, len(encoded) + 1)
        self._bytes = b"".join(encoded)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class FilePlaces:
    """Files by their names in a folder."""

    folder: Path
    names: PackedTexts

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> FilePlace:
        return FilePlace(self.folder / self.names[index])


@dataclass(frozen=True)
class Pictures:
    """A split of a data set. It holds names and numbers only, so it is cheap to send to DataLoader workers.

    Attributes:
        path: File or folder that was opened.
        split: Name of the split.
        layout: What was found there, to be printed.
        classes: Names of the classes, by label; none where there are no labels.
        ids: Name of each picture.
        labels: Label of each picture; -1 where there are none.
        places: Where each picture's bytes are.
        decoding: How pictures are decoded.
    """

    path: Path
    split: str
    layout: str
    classes: tuple[str, ...]
    ids: Lookup[str]
    labels: Int64[np.ndarray, " pictures"]
    places: Lookup[Place]
    decoding: Decoding = field(default_factory=Decoding)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> PictureRecord:
        """Returns a record; reads nothing."""
        label = int(self.labels[index])
        known = label != NO_LABEL
        return PictureRecord(
            self.ids[index], label if known else None, self.classes[label] if known else None, self.places[index]
        )

    def __iter__(self) -> Iterator[PictureRecord]:
        return (self[index] for index in range(len(self)))

    def decode(self, record: PictureRecord) -> Picture:
        """Reads and decodes a picture.

        Raises:
            RecordError: It cannot be read or decoded; the message names it, the fault and the cure.
        """
        return Picture(record.id, decode_pixels(record.place.read(), record.place.name, self.decoding))

    def decode_crop(
        self, record: PictureRecord, crop: RandomResizedCrop, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "3 size size"]:
        """Reads a picture and decodes a random part of it; raises as `decode` does."""
        return crop.decode(record.place.read(), record.place.name, rng, self.decoding)

    def read_all(self, on_error: Callable[[str, RecordError], None]) -> Iterator[tuple[PictureRecord, Picture]]:
        """Yields the pictures that can be decoded, in order; passes errors to `on_error`, such as `Failures().add`."""
        return read_all(self, on_error)

    def limited(self, limit: int | None) -> Pictures:
        """Returns the first pictures of every class, as evenly as the classes allow, in the order that they have here.

        Raises:
            InputError: The limit is below 1.
        """
        return self if limit is None or limit >= len(self) else self.subset(evenly(self.labels, limit, "picture"))

    def subset(self, indices: Int64[np.ndarray, " kept"]) -> Pictures:
        """Returns some of the pictures, with the same classes."""
        ids = PackedTexts(self.ids[int(i)] for i in indices)
        return replace(self, ids=ids, labels=self.labels[indices], places=_Some(self.places, indices))


@dataclass(frozen=True)
class _Some:
    """Some of a sequence of places."""

    places: Lookup[Place]
    indices: Int64[np.ndarray, " kept"]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Place:
        return self.places[int(self.indices[index])]


def read_all(
    source: PictureSource, on_error: Callable[[str, RecordError], None]
) -> Iterator[tuple[PictureRecord, Picture]]:
    """Yields what `Pictures.read_all` yields, of any source."""
    for index in range(len(source)):
        record = source[index]
        try:
            picture = source.decode(record)
        except RecordError as error:
            on_error(record.id, error)
        else:
            yield record, picture


def evenly(labels: Int64[np.ndarray, " records"], limit: int, noun: str) -> Int64[np.ndarray, " kept"]:
    """Returns the rows of the first records of every class, as evenly as the classes allow, ascending.

    Raises:
        InputError: The limit is below 1.
    """
    if limit < 1:
        raise InputError(f"limit {limit}: expected at least 1 {noun}; leave it out to take all")
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    turn = np.empty(len(labels), np.int64)
    turn[order] = np.arange(len(labels)) - np.repeat(starts, counts)
    return np.sort(np.argsort(turn, kind="stable")[:limit])


def number_classes(
    names: Sequence[str], classes: Sequence[str] | None, path: Path
) -> tuple[tuple[str, ...], Int64[np.ndarray, " pictures"]]:
    """Numbers the classes of pictures.

    Args:
        names: Class of each picture.
        classes: All classes in the order of their labels; alphabetical if not given, as in torchvision.
        path: What to name in a message.

    Returns:
        The classes, and the label of each picture.

    Raises:
        InputError: The list names a class twice, or lacks the class of a picture.
    """
    ordered = tuple(sorted(set(names)) if classes is None else classes)
    label_of = {name: label for label, name in enumerate(ordered)}
    if len(label_of) < len(ordered):
        twice = first_of(sorted({name for name in ordered if ordered.count(name) > 1}))
        raise InputError(f"classes: expected each name once, found more than one {twice}")
    unknown = sorted(set(names) - label_of.keys())
    if unknown:
        listed = f"a list of {len(ordered)} ({first_of(ordered)})"
        raise InputError(
            f"{path}: expected the classes of {listed}, found {len(unknown)} others: {first_of(unknown)}; give the "
            "list of this data set, or none for alphabetical order"
        )
    return ordered, np.fromiter(map(label_of.__getitem__, names), np.int64, len(names))
