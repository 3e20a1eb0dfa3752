"""Videos with labels as a sequence of records, independent of the format on disk; images are decoded on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from perception.clips.clip import Clip
from perception_datasets.errors import bad_file
from perception_datasets.images.decoding import Decoding, decode_pixels
from perception_datasets.images.records import NO_LABEL, FilePlace, Place, evenly
from perception_datasets.video.decoding import CURE, MAX_CLIP_BYTES, Choose, decode_images


@dataclass(frozen=True)
class FramesPlace:
    """Images of a video as pictures of their own.

    Attributes:
        name: Folder of the pictures.
        pictures: Where each is, in the order of time.
    """

    name: Path
    pictures: tuple[Place, ...]


@dataclass(frozen=True)
class VideoRecord:
    """A video that is not decoded.

    Attributes:
        id: Name in its split.
        label: Index of its class; None where the split has no labels.
        class_name: Name of the class.
        place: Where its bytes are.
    """

    id: str
    label: int | None
    class_name: str | None
    place: Place | FramesPlace


@dataclass(frozen=True)
class Videos:
    """A split of a data set. It holds names and numbers only, so it is cheap to send to DataLoader workers.

    Attributes:
        path: Folder that was opened.
        split: Name of the split.
        layout: What was found there, to be printed.
        classes: Names of the classes, by label.
        ids: Name of each video.
        labels: Label of each video; -1 where there are none.
        places: Where each video's bytes are.
    """

    path: Path
    split: str
    layout: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    labels: Int64[np.ndarray, " videos"]
    places: tuple[Place | FramesPlace, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> VideoRecord:
        """Returns a record; reads nothing."""
        label = int(self.labels[index])
        known = label != NO_LABEL
        return VideoRecord(
            self.ids[index], label if known else None, self.classes[label] if known else None, self.places[index]
        )

    def __iter__(self) -> Iterator[VideoRecord]:
        return (self[index] for index in range(len(self)))

    def decode(self, record: VideoRecord, choose: Choose) -> Clip:
        """Decodes some images of a video.

        Args:
            record: The video.
            choose: From the number of its images to those that are wanted.

        Raises:
            RecordError: They cannot be decoded; the message names the video, the fault and the cure.
        """
        place = record.place
        if isinstance(place, FramesPlace):
            return Clip(record.id, _decode_pictures(place, choose))
        content = place.path if isinstance(place, FilePlace) else place.read()
        return Clip(record.id, decode_images(content, place.name, choose))

    def limited(self, limit: int | None) -> Videos:
        """Returns the first videos of every class, as evenly as the classes allow, in the order that they have here.

        Raises:
            InputError: The limit is below 1.
        """
        return self if limit is None or limit >= len(self) else self.subset(evenly(self.labels, limit, "video"))

    def subset(self, indices: Int64[np.ndarray, " kept"]) -> Videos:
        """Returns some of the videos, with the same classes."""
        ids = tuple(self.ids[i] for i in indices)
        return replace(self, ids=ids, labels=self.labels[indices], places=tuple(self.places[i] for i in indices))


def _decode_pictures(place: FramesPlace, choose: Choose) -> np.ndarray:
    chosen = choose(len(place.pictures))
    read: dict[int, np.ndarray] = {}
    for number in sorted({int(number) for number in chosen}):
        picture = place.pictures[number]
        read[number] = decode_pixels(picture.read(), picture.name, Decoding())
        first = next(iter(read.values()))
        if read[number].shape != first.shape:
            raise bad_file(
                picture.name,
                f"expected the size of the others, {first.shape[:2]}, found {read[number].shape[:2]}",
                CURE,
            )
        if len(chosen) * first.nbytes > MAX_CLIP_BYTES:
            raise bad_file(place.name, f"expected at most {MAX_CLIP_BYTES >> 20} MB of pixels, found more", CURE)
    return np.stack([read[int(number)] for number in chosen])


def videos_of(
    path: Path,
    split: str,
    layout: str,
    classes: tuple[str, ...],
    found: Sequence[tuple[str, int, Place | FramesPlace]],
) -> Videos:
    """Returns a split from the name, label and place of each of its videos."""
    ids, labels, places = zip(*found, strict=True) if found else ((), (), ())
    return Videos(path, split, layout, classes, tuple(ids), np.array(labels, np.int64), tuple(places))
