from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perception.clips.resizing import resized


def test_smaller_images_are_not_enlarged() -> None:
    images = np.zeros((2, 10, 14, 3), np.uint8)
    assert resized(images, 0) is resized(images, 10) is images
    assert resized(images, 5).shape == (2, 5, 7, 3)


@given(rows=st.integers(1, 30), columns=st.integers(1, 30), side=st.integers(1, 20))
def test_images_are_resized_each_as_by_itself(rows: int, columns: int, side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, rows, columns, 3), np.uint8)
    alone = np.concatenate([resized(images[n : n + 1], side) for n in range(3)])
    np.testing.assert_array_equal(resized(images, side), alone)
