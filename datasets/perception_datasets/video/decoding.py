"""Decodes some images of a video, by FFmpeg's libraries (PyAV), without decoding the others where keyframes allow it.

An image is counted by the order in which images are shown. Times are not looked at otherwise: in a video of variable
rate, equal segments hold equally many images, as in the readers of SSv2 and Kinetics that papers use. The values are
those that decoding from the first image on gives:

- rotation by the display matrix is undone where it is a multiple of 90°; other angles are left as they are;
- 10 and 12 bits become 8, by FFmpeg's scaler, as everything becomes RGB;
- pixels that are not square stay as they are stored;
- images of another size than the video's first are resized to that;
- a damaged part makes images behind it unusable up to the next keyframe; asking for one of them is an error.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, UInt8

from perception_datasets.errors import RecordError, bad_file, reading

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

CURE = "copy the video again, or leave it out"
SUFFIXES = (".webm", ".mp4", ".m4v", ".mov", ".mkv", ".avi", ".mpg", ".mpeg", ".ts")
MAX_IMAGES = 1 << 20
MAX_IMAGE_PIXELS = 1 << 25
"""8K has 2**25 pixels."""
MAX_CLIP_BYTES = 1 << 30
_CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg"
"""FFmpeg also knows playlists, which name other files and addresses; they are refused."""
_WITH_AN_INDEX = ("h264", "hevc", "vp9", "av1", "mjpeg")
"""Codecs whose every packet shows one image, at the packet's time. Others are decoded from the beginning."""

Choose = Callable[[int], Int[np.ndarray, " chosen"]]
"""From the number of images in a video to those that are wanted, from 0, in any order."""


def decode_images(
    video: Path | bytes, name: Path, choose: Choose, *, seek: bool = True
) -> UInt8[np.ndarray, "chosen height width 3"]:
    """Decodes the images that are chosen once the number of images is known.

    Args:
        video: Path of the video, or its content.
        name: What to call it in a message.
        choose: Chooses the images.
        seek: Whether to begin at keyframes. If not, everything before the last chosen image is decoded.

    Raises:
        RecordError: It cannot be decoded, has no images, or would take too much memory.
    """
    found = _by_index(video, name, choose) if seek else None
    return _from_the_beginning(video, name, choose) if found is None else found


def count_images(video: Path | bytes, name: Path) -> int:
    """Returns the number of images, by decoding all of them; raises as `decode_images` does."""
    with _opened(video, name) as (container, stream):
        count = sum(1 for _ in container.decode(stream))
        if not count:
            raise bad_file(name, "expected images, found none", CURE)
        if count > MAX_IMAGES:
            raise bad_file(name, f"expected at most {MAX_IMAGES:,} images, found {count:,}", "cut it into parts")
        return count


@dataclass(frozen=True)
class _Index:
    """When images are shown, and where decoding can begin.

    Attributes:
        times: Time of each image, ascending, in units of the stream.
        key_times: Time of each keyframe, ascending.
        key_starts: Time by which to seek it: that of its decoding.
    """

    times: np.ndarray
    key_times: np.ndarray
    key_starts: np.ndarray


def _by_index(video: Path | bytes, name: Path, choose: Choose) -> np.ndarray | None:
    """Returns the images; None where the packets do not say which image is which, or say it wrongly."""
    with _opened(video, name) as (container, stream):
        index = _read_index(container, stream, name)
    if index is None:
        return None
    chosen = _checked(choose(len(index.times)), len(index.times), name)
    wanted = index.times[chosen]
    with _opened(video, name) as (container, stream):
        images = _Images(name, len(chosen))
        reached, frames = None, iter(())
        for time in np.unique(wanted):
            key = np.searchsorted(index.key_times, time, side="right") - 1
            if key < 0:
                return None
            if reached is None or index.key_times[key] > reached:
                frames = _frames_from(container, stream, (int(index.key_times[key]), int(index.key_starts[key])))
            frame = next((frame for frame in frames if frame.pts is None or frame.pts >= time), None)
            if frame is None or frame.pts != time:
                return None
            reached = time
            images.add(frame, np.flatnonzero(wanted == time))
        return images.pixels


def _frames_from(container: InputContainer, stream: VideoStream, times: tuple[int, int]) -> Iterator[VideoFrame]:
    """Yields images from a keyframe on, or from an earlier one.

    Args:
        container: The video.
        stream: Its images.
        times: When the keyframe is shown, and when it is decoded; FFmpeg seeks by the one or the other, depending on
            the container.
    """
    for time in times:
        container.seek(time, stream=stream, backward=True)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= times[0]:
            return itertools.chain([first], frames)
    return iter(())


def _read_index(container: InputContainer, stream: VideoStream, name: Path) -> _Index | None:
    if stream.codec_context.codec.canonical_name not in _WITH_AN_INDEX:
        return None
    times, keys = [], []
    for packet in container.demux(stream):
        if packet.size and not packet.is_discard:
            if packet.pts is None or packet.is_corrupt:
                return None
            times.append(packet.pts)
            if packet.is_keyframe:
                keys.append((packet.pts, packet.pts if packet.dts is None else min(packet.dts, packet.pts)))
            if len(times) > MAX_IMAGES:
                raise bad_file(name, f"expected at most {MAX_IMAGES:,} images, found more", "cut it into parts")
    ascending = np.unique(np.array(times, np.int64))
    if not keys or len(ascending) < len(times):
        return None
    ordered = np.array(sorted(keys), np.int64)
    return _Index(ascending, ordered[:, 0], ordered[:, 1])


def _from_the_beginning(video: Path | bytes, name: Path, choose: Choose) -> np.ndarray:
    count = count_images(video, name)
    chosen = _checked(choose(count), count, name)
    images = _Images(name, len(chosen))
    with _opened(video, name) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            places = np.flatnonzero(chosen == number)
            if len(places):
                images.add(frame, places)
            if number >= chosen.max():
                break
    return images.pixels


def _checked(chosen: np.ndarray, count: int, name: Path) -> np.ndarray:
    if not len(chosen) or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(f"{name}: expected images from 0 to {count - 1} to be chosen, got {chosen}")
    return chosen


class _Images:
    """Chosen images, as they come."""

    def __init__(self, name: Path, count: int) -> None:
        self._name, self._count = name, count
        self._pixels: np.ndarray | None = None

    @property
    def pixels(self) -> np.ndarray:
        """All of them."""
        assert self._pixels is not None, "at least one image is chosen"
        return self._pixels

    def add(self, frame: VideoFrame, places: np.ndarray) -> None:
        """Puts an image to its places."""
        turns = round(frame.rotation / 90) if frame.rotation % 90 == 0 else 0
        if self._pixels is None:
            _expect_size(frame.width, frame.height, self._name)
            size = (frame.height, frame.width) if turns % 2 == 0 else (frame.width, frame.height)
            needed = self._count * size[0] * size[1] * 3
            if needed > MAX_CLIP_BYTES:
                raise bad_file(
                    self._name,
                    f"expected at most {MAX_CLIP_BYTES >> 20} MB of pixels, found {self._count} images of "
                    f"{frame.width} × {frame.height}, which take {needed >> 20} MB",
                    "store it smaller",
                )
            self._pixels = np.empty((self._count, *size, 3), np.uint8)
        height, width = self._pixels.shape[1:3] if turns % 2 == 0 else self._pixels.shape[2:0:-1]
        rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
        self._pixels[places] = np.rot90(rgb, turns)


def _tolerant(version: str) -> dict[str, Any]:
    """Options with which titles that are not UTF-8 do no harm, as those of HMDB51; from 19 on PyAV needs none."""
    return {"metadata_errors": "ignore"} if int(version.partition(".")[0]) < 19 else {}


@contextmanager
def _opened(video: Path | bytes, name: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Opens a video; whatever fails in the block names it."""
    import av
    import av.container

    file = BytesIO(video) if isinstance(video, bytes) else str(video)
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    with (
        reading(name, CURE),
        av.open(file, options=options, **_tolerant(av.__version__)) as container,
    ):
        if not container.streams.video:
            raise bad_file(name, "expected images, found a file without any", CURE)
        assert isinstance(container, av.container.InputContainer), "it is opened for reading"
        stream = container.streams.video[0]
        _expect_size(stream.width, stream.height, name)
        stream.codec_context.thread_count = 1  # loaders have a process for each core
        yield container, stream


def _expect_size(width: int, height: int, name: Path) -> None:
    if width * height > MAX_IMAGE_PIXELS:
        raise RecordError(
            f"{name}: expected images of at most {MAX_IMAGE_PIXELS >> 20} million pixels, found {width} × {height}; "
            "store it smaller"
        )
