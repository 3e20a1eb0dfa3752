"""What is the same for files and messages; `perception_datasets.images.decoding`'s tests go through all modes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from perception.images.encoded import FORMATS, BadPicture, open_encoded, to_rgb


def encoded(picture: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, format)
    return file.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_known_by_its_first_bytes_and_taken_only_where_it_is_wanted(format: str) -> None:
    data = encoded(Image.new("RGB", (5, 3), (1, 2, 3)), format)
    assert to_rgb(open_encoded(data, 15)).size == (5, 3)
    others = [other for other in FORMATS if other != format]
    with pytest.raises(BadPicture, match="found a file that begins with") as error:
        open_encoded(data, 15, others)
    assert error.value.cure == ""


def test_a_size_is_refused_before_the_pixels_are_decoded() -> None:
    data = encoded(Image.new("1", (20_000, 5_000)), "PNG")
    with pytest.raises(BadPicture, match="expected at most 99,999,999 pixels, found 20,000 × 5,000; make it smaller"):
        open_encoded(data, 99_999_999)


def test_grey_of_16_bits_keeps_its_upper_8_and_32_bits_are_refused() -> None:
    values = np.array([[0, 255, 256, 65535]], np.uint16)
    np.testing.assert_array_equal(np.asarray(to_rgb(Image.fromarray(values)))[0, :, 0], [0, 0, 1, 255])
    with pytest.raises(BadPicture, match="expected values of 8 or 16 bits, found 32") as error:
        to_rgb(Image.fromarray(np.ones((2, 2), np.float32)))
    assert error.value.cure == "store it with 8 or 16 bits"
