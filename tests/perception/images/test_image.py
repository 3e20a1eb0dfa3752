from __future__ import annotations

import numpy as np
import pytest

from perception.errors import InputError
from perception.images.image import Picture


def test_a_picture_keeps_its_pixels() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert Picture("street", pixels).pixels is pixels


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4), np.uint8),
        np.zeros((3, 4, 4), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_pixels_are_refused_by_name(pixels: np.ndarray) -> None:
    made = object.__new__(Picture)  # the tests' own check of annotations would refuse them first
    object.__setattr__(made, "id", "street")
    object.__setattr__(made, "pixels", pixels)
    with pytest.raises(InputError, match=r"picture street: expected pixels of type uint8 .* got .*; convert it to RGB"):
        made.__post_init__()
