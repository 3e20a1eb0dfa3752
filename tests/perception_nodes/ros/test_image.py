from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from perception_datasets.images.decoding import decode_pixels
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.image import MAX_PIXELS, read_compressed_image, read_image
from perception_nodes.ros.image_encodings import ENCODINGS
from perception_nodes.ros.message_header import MessageHeader

STAMP_NS = 1_700_000_000_123_456_789
NO_BYTES = np.zeros(0, np.uint8)

Make = Callable[..., bytes]


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels: np.ndarray, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_are_read_without_their_padding(encoding: str, padding: int, image_message: Make) -> None:
    of = ENCODINGS[encoding]
    raw = random(of.rows(6), 8 * of.pixel_bytes)
    cdr = image_message(raw, encoding, padding=padding, height=6, width=8, stamp_ns=STAMP_NS, frame_id="front/optical")
    image = read_image(cdr)
    np.testing.assert_array_equal(image.pixels, of.pixels(raw, big_endian=False))
    assert image.pixels.shape == (6, 8, 3)
    assert image.header == MessageHeader(STAMP_NS, "front/optical")


def test_the_order_of_bytes_counts_where_a_sample_has_two(image_message: Make) -> None:
    values = np.array([[0x1234, 0xFF00]])
    for kind, big in (("<u2", 0), (">u2", 1)):
        cdr = image_message(values.astype(kind), "mono16", is_bigendian=big)
        assert read_image(cdr).pixels[0, :, 0].tolist() == [0x12, 0xFF]


def test_the_last_row_may_end_with_its_pixels(image_message: Make) -> None:
    data = random(3 * 16 - 4)  # three rows of four pixels and four bytes
    cdr = image_message(NO_BYTES.reshape(1, 0), "rgb8", height=3, width=4, step=16, data=data)
    assert read_image(cdr).pixels[2, 3].tolist() == data[-3:].tolist()


BROKEN = {
    "unknown": ({"encoding": "32FC1"}, "a picture in the encoding '32FC1'; expected one of rgb8, bgr8"),
    "none": ({"encoding": ""}, "a picture in the encoding ''"),
    "empty": ({"height": 0}, r"a picture of 4 × 0 pixels; expected 1 to 33,554,432 of them"),
    "huge": ({"height": 2**32 - 1, "width": 2**32 - 1}, "a picture of 4294967295 × 4294967295 pixels"),
    "tall": ({"height": 2**23}, r"a picture in rgb8 of 4 × 8388608 pixels, a row every 12 bytes, in 36 bytes of data"),
    "step": ({"step": 11}, "a row every 11 bytes, in 36 bytes of data; expected 3 rows of at least 12"),
    "no step": ({"step": 0}, "a row every 0 bytes"),
    "wide step": ({"step": 2**32 - 1}, "a row every 4294967295 bytes"),
    "truncated": ({"data": random(35)}, "in 35 bytes of data"),
    "no data": ({"data": NO_BYTES}, "in 0 bytes of data"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pictures_are_refused(name: str, image_message: Make) -> None:
    changes, reason = BROKEN[name]
    fields = {"rows": random(3, 4, 3), "encoding": "rgb8", **changes}
    with pytest.raises(MalformedMessage, match=reason):
        read_image(image_message(**fields))


@given(st.binary(max_size=80), st.integers(0, 80))
def test_damaged_bytes_are_refused_or_read(image_message: Make, damage: bytes, at: int) -> None:
    cdr = bytearray(image_message(random(4, 4, 3), "rgb8"))
    cdr[4 + at : 4 + at + len(damage)] = damage
    try:
        image = read_image(bytes(cdr))
    except MalformedMessage:
        return
    assert image.pixels.dtype == np.uint8


FORMATS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "bgr8; jpeg compressed bgr8": "JPEG",
    "rgb8; png compressed bgr8": "PNG",
    "mono8; jpeg compressed ": "JPEG",
    "": "PNG",
    "png, as somebody says": "JPEG",
}


@pytest.mark.parametrize("stated", FORMATS)
def test_compressed_pictures_are_decoded_as_offline(stated: str, compressed_image_message: Make) -> None:
    pixels = random(20, 30) if "mono" in stated else random(20, 30, 3)
    data = encoded(pixels, FORMATS[stated])
    image = read_compressed_image(compressed_image_message(data, stated, stamp_ns=STAMP_NS, frame_id="left"))
    np.testing.assert_array_equal(image.pixels, decode_pixels(data, Path("file")))
    assert image.header == MessageHeader(STAMP_NS, "left")


def test_png_of_16_bits_keeps_its_upper_byte(compressed_image_message: Make) -> None:
    values = np.array([[0x1234, 0xFF00]], np.uint16)
    image = read_compressed_image(compressed_image_message(encoded(values, "PNG"), "mono16; png compressed "))
    assert image.pixels[0, :, 2].tolist() == [0x12, 0xFF]


def test_compressed_pictures_that_cannot_be_used_are_refused(compressed_image_message: Make) -> None:
    good = encoded(random(20, 30, 3), "JPEG")
    for data, stated, reason in (
        (b"", "jpeg", r"a compressed picture \('jpeg'\): expected a picture, found 0 bytes"),
        (good[:-40], "jpeg", "image file is truncated"),
        (good[:3] + b"\0" * 50, "jpeg", "a compressed picture"),
        (encoded(random(4, 4, 3), "BMP"), "bmp", "expected JPEG or PNG, found a file that begins with b'BM"),
        (encoded(random(4, 4, 3), "TIFF"), "jpeg", "expected JPEG or PNG"),
        (encoded(random(4, 4), "PNG"), "16UC1; compressedDepth png", "which holds depths; expected colours or grey"),
    ):
        with pytest.raises(MalformedMessage, match=reason):
            read_compressed_image(compressed_image_message(data, stated))


def test_a_decompression_bomb_is_refused_before_it_takes_memory(compressed_image_message: Make) -> None:
    file = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(file, "PNG")
    cdr = compressed_image_message(file.getvalue(), "png")
    assert len(cdr) < 200_000 < MAX_PIXELS < 30_000**2
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match="expected at most 33,554,432 pixels, found 30,000 × 30,000"):
            read_compressed_image(cdr)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(cdr)
    finally:
        tracemalloc.stop()
