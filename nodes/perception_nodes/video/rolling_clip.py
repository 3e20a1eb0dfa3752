"""The last seconds of a camera, of which a model sees one picture every so often: by time, not by number.

A clip ends with the newest picture. The others are those whose stamps are nearest to one stride before it, two strides,
and so on, the earlier of equally near ones. So a dropped picture, jitter or another rate of the camera shifts a picture
by less than its distance to the next, and the clip spans the same time as always. Where the stamps leap, forward by
more than a gap or back by more than one, the scene is another one, and the clip begins anew: after a longer pause, a
step of the clock, or when a log is played from its beginning again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from perception.errors import InputError
from perception_nodes.operations.reasons import MissingInput

PER_STRIDE = 16
"""Pictures are kept at most this many times in a stride, so that memory is bounded whatever their rate is."""
_NS = 1_000_000_000

T = TypeVar("T")


class RollingClip(Generic[T]):
    """Keeps pictures, or whatever stands for them, as long as a clip may need them.

    Args:
        images: Number of pictures of a clip.
        stride_s: Time from one to the next, seconds.
        max_gap_s: A longer gap between two pictures begins the clip anew.
    """

    def __init__(self, images: int, stride_s: float, max_gap_s: float) -> None:
        self._images, self._stride_ns = images, max(round(stride_s * _NS), 1)
        self._max_gap_ns = round(max_gap_s * _NS)
        self._kept: deque[tuple[int, T]] = deque()
        self._since = "the first picture"

    def __len__(self) -> int:
        """Number of pictures that are kept: at most `PER_STRIDE` times those of a clip, and three."""
        return len(self._kept)

    @property
    def span_ns(self) -> int:
        """Time from the first to the last picture of a clip."""
        return (self._images - 1) * self._stride_ns

    def add(self, stamp_ns: int, picture: T) -> None:
        """Takes the next picture.

        Raises:
            InputError: It is not newer than the last one, and by no more than a gap: it came late, or twice.
        """
        if self._kept:
            step_ns = stamp_ns - self._kept[-1][0]
            if -self._max_gap_ns <= step_ns <= 0:
                raise InputError(
                    f"a picture {-step_ns / _NS:.3f} s before the last one; expected a newer one, so it is left out"
                )
            if step_ns < 0 or step_ns > self._max_gap_ns:
                leap = f"stamps that went back by {-step_ns / _NS:.2f} s"
                self._since = leap if step_ns < 0 else f"a gap of {step_ns / _NS:.2f} s"
                self._kept.clear()
        if len(self._kept) >= 2 and (self._kept[-1][0] - self._kept[-2][0]) * PER_STRIDE < self._stride_ns:
            self._kept.pop()  # it was the newest one, and is near enough to the one before
        self._kept.append((stamp_ns, picture))
        while len(self._kept) >= 2 and self._kept[1][0] <= stamp_ns - self.span_ns:
            self._kept.popleft()

    def pictures(self) -> list[T]:
        """Returns the pictures of the clip that ends with the newest one.

        Raises:
            MissingInput: It does not reach back far enough yet.
        """
        if not self._kept:
            raise MissingInput("no picture yet")
        stamps = np.array([stamp_ns for stamp_ns, _ in self._kept])
        have_ns = int(stamps[-1] - stamps[0])
        if have_ns < self.span_ns:
            raise MissingInput(
                f"the clip has {have_ns / _NS:.2f} s of its {self.span_ns / _NS:.2f} s, since {self._since}"
            )
        return [self._kept[row][1] for row in nearest(stamps.tolist(), self._images, self._stride_ns)]


def nearest(stamps_ns: Sequence[int], images: int, stride_ns: int) -> list[int]:
    """Returns the places of a clip's pictures among increasing stamps, of which the last is that of the clip.

    Args:
        stamps_ns: Stamps of pictures.
        images: Number of the clip's pictures; one may be there several times.
        stride_ns: Time from one to the next.
    """
    stamps = np.asarray(stamps_ns, np.int64)
    wanted = stamps[-1] - stride_ns * np.arange(images - 1, -1, -1)
    return np.abs(stamps - wanted[:, None]).argmin(axis=1).tolist()
