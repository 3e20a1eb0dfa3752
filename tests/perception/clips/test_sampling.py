from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perception.clips.sampling import middle_images, random_images, view_images

LENGTHS, COUNTS = st.integers(1, 400), st.integers(1, 32)


@given(LENGTHS, COUNTS, st.integers(0, 99))
def test_a_random_image_comes_from_its_segment(length: int, count: int, seed: int) -> None:
    chosen = random_images(length, count, np.random.default_rng(seed))
    assert chosen.shape == (count,)
    for number, index in enumerate(chosen):
        assert 0 <= index < length
        assert number * length / count - 1 < index < (number + 1) * length / count


def test_every_image_of_a_segment_is_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([random_images(32, 8, rng) for _ in range(200)])
    assert all(set(drawn[:, segment]) == set(range(4 * segment, 4 * segment + 4)) for segment in range(8))


@given(LENGTHS, COUNTS)
def test_middles_and_views_are_those_of_videomaes_code(length: int, count: int) -> None:
    tick = length / float(count)
    middles = [int(tick / 2.0 + tick * x) for x in range(count)]
    starts = [int(tick * x) for x in range(count)]
    both = sorted(middles + starts)
    assert np.abs(middle_images(length, count) - middles).max() <= 1, "theirs loses halves to rounding"
    found = sorted([*view_images(length, count, 0, 2), *view_images(length, count, 1, 2)])
    assert np.abs(np.array(found) - both).max() <= 1
    assert view_images(length, count, 0, 1).tolist() == middle_images(length, count).tolist()


def test_two_views_of_a_long_video_share_no_image() -> None:
    first, second = (view_images(280, 16, view, 2).tolist() for view in (0, 1))
    assert len({*first, *second}) == 32
    assert sorted([*first, *second])[::2] == first
    assert first[:3] == [0, 17, 35]
    assert second[:3] == [8, 26, 43]


def test_a_single_image_is_repeated() -> None:
    assert middle_images(1, 4).tolist() == [0] * 4
    assert random_images(1, 4, np.random.default_rng(0)).tolist() == [0] * 4
