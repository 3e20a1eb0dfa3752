from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception.errors import InputError
from perception_nodes.operations.reasons import MissingInput
from perception_nodes.video.rolling_clip import PER_STRIDE, RollingClip, nearest

S = 1_000_000_000


def filled(stamps_s: object, images: int = 4, stride_s: float = 0.2, max_gap_s: float = 1.0) -> RollingClip[int]:
    """A clip of pictures that are called by their numbers."""
    clip: RollingClip[int] = RollingClip(images, stride_s, max_gap_s)
    for number, stamp_s in enumerate(np.asarray(stamps_s)):
        clip.add(round(stamp_s * S), number)
    return clip


def test_pictures_are_a_stride_apart_whatever_the_cameras_rate() -> None:
    for rate, expected in ((5, [0, 1, 2, 3]), (10, [0, 2, 4, 6]), (30, [0, 6, 12, 18]), (50, [0, 10, 20, 30])):
        assert filled(np.arange(0.6 * rate + 1) / rate).pictures() == expected


def test_a_clip_is_full_once_it_reaches_back_far_enough() -> None:
    with pytest.raises(MissingInput, match="no picture yet"):
        filled([]).pictures()
    with pytest.raises(MissingInput, match=r"the clip has 0.50 s of its 0.60 s, since the first picture"):
        filled([0, 0.25, 0.5]).pictures()
    assert filled([0, 0.25, 0.5, 0.75]).pictures() == [1, 1, 2, 3]  # 0.15 lies between 0 and 0.25, nearer to the latter
    assert filled([7], images=1).pictures() == [0]


def test_dropped_pictures_and_jitter_shift_a_picture_to_the_nearest() -> None:
    assert filled([0, 0.1, 0.2, 0.3, 0.5, 0.6]).pictures() == [0, 2, 3, 5]  # 0.4 is lost: 0.3 is as near as 0.5
    assert filled([0.01, 0.11, 0.19, 0.3, 0.41, 0.52, 0.62]).pictures() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("leap_s", "cause"),
    [(1.01, "a gap of 1.01 s"), (3600, "a gap of 3600.00 s"), (-5, "stamps that went back by 5.00 s")],
)
def test_a_leap_of_the_stamps_begins_the_clip_anew(leap_s: float, cause: str) -> None:
    begin = 10 + np.arange(7) / 10
    clip = filled([*begin, begin[-1] + leap_s])
    with pytest.raises(MissingInput, match=f"the clip has 0.00 s of its 0.60 s, since {cause}"):
        clip.pictures()
    clip = filled([*begin, *(begin[-1] + leap_s + np.arange(7) / 10)])
    assert clip.pictures() == [7, 9, 11, 13]


def test_a_gap_that_is_not_longer_is_bridged() -> None:
    assert filled([*np.arange(7) / 10, 1.6]).pictures() == [6, 7, 7, 7]


@pytest.mark.parametrize("back_s", [0, 0.05, 1.0])
def test_a_picture_that_came_late_or_twice_is_refused_and_changes_nothing(back_s: float) -> None:
    clip = filled(10 + np.arange(7) / 10)
    with pytest.raises(InputError, match=f"a picture {back_s:.3f} s before the last one; expected a newer one"):
        clip.add(round((10.6 - back_s) * S), 99)
    assert clip.pictures() == [0, 2, 4, 6]


@settings(max_examples=60)
@given(
    steps=st.lists(st.floats(0.001, 0.9), min_size=1, max_size=40),
    images=st.integers(1, 6),
    stride_s=st.floats(0.05, 0.5),
)
def test_each_picture_of_a_clip_is_the_nearest_that_came(steps: list[float], images: int, stride_s: float) -> None:
    """As far as pictures are kept: those that come closer than a sixteenth of a stride may stand for each other."""
    stamps = np.round(np.cumsum(steps) * S).astype(np.int64)
    clip: RollingClip[int] = RollingClip(images, stride_s, 1.0)
    for stamp in stamps.tolist():
        clip.add(stamp, stamp)
    stride_ns = round(stride_s * S)
    if stamps[-1] - stamps[0] < (images - 1) * stride_ns:
        with pytest.raises(MissingInput):
            clip.pictures()
        return
    found = np.array(clip.pictures())
    wanted = stamps[-1] - stride_ns * np.arange(images - 1, -1, -1)
    best = np.abs(stamps - wanted[:, None]).min(axis=1)
    assert found[-1] == stamps[-1]
    assert (np.abs(found - wanted) <= best + stride_ns / PER_STRIDE + 1).all()


@settings(max_examples=30)
@given(rate_hz=st.floats(1, 1e6), images=st.integers(1, 8))
def test_memory_is_bounded_whatever_the_rate(rate_hz: float, images: int) -> None:
    clip = filled(np.arange(400) / rate_hz, images)
    most = 0
    for number in range(400):
        clip.add(round((400 + number) / rate_hz * S), number)
        most = max(most, len(clip))
    assert most <= PER_STRIDE * images + 3


def test_of_equally_near_pictures_the_earlier_is_chosen() -> None:
    assert nearest([0, 10, 20], 3, 5) == [1, 1, 2]
    assert nearest([0, 10, 15], 2, 10) == [0, 2]
