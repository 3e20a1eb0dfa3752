from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_datasets.errors import Failures, RecordError
from perception_datasets.images.decoding import Decoding, decode_pixels
from perception_datasets.images.open_pictures import open_pictures

NAME = Path("set/picture.jpg")


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_of_pillow(format: str, mode: str, encode: Callable[..., bytes]) -> None:
    data = encode(format=format, mode=mode)
    with Image.open(io.BytesIO(data)) as expected:
        np.testing.assert_array_equal(decode_pixels(data, NAME), np.asarray(expected.convert("RGB")))


@pytest.mark.parametrize(
    ("mode", "format"), [("CMYK", "JPEG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("1", "PNG")]
)
def test_other_modes_are_converted_as_torchvision_and_timm_do(
    mode: str, format: str, encode: Callable[..., bytes]
) -> None:
    data = encode(mode=mode, format=format)
    with Image.open(io.BytesIO(data)) as expected:
        assert expected.mode == mode
        np.testing.assert_array_equal(decode_pixels(data, NAME), np.asarray(expected.convert("RGB")))


def test_colours_of_a_palette_with_transparency_are_kept_without_a_warning() -> None:
    picture = Image.new("P", (8, 8))
    picture.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    picture.putdata(list(range(64)))
    data = encoded(picture, transparency=bytes([0, 128] * 32))
    expected = np.array([(i, 255 - i, 7) for i in range(64)], np.uint8).reshape(8, 8, 3)
    np.testing.assert_array_equal(decode_pixels(data, NAME), expected)


def test_grey_of_16_bits_keeps_its_range() -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    pixels = decode_pixels(encoded(Image.fromarray(values)), NAME)
    np.testing.assert_array_equal(pixels, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, -1))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_of_32_bits_are_refused(dtype: type) -> None:
    data = encoded(Image.fromarray(np.ones((8, 8), dtype)), "TIFF")
    with pytest.raises(RecordError, match=r"picture\.jpg: expected values of 8 or 16 bits, found 32 .*; store it with"):
        decode_pixels(data, NAME)


def test_orientation_counts_only_where_it_is_asked_for() -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    data = encoded(Image.fromarray(pixels), exif=exif)
    np.testing.assert_array_equal(decode_pixels(data, NAME), pixels)
    turned = decode_pixels(data, NAME, Decoding(exif_transpose=True))
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: b"", "expected a picture, found 0 bytes"),
        (lambda data: data[: len(data) - 40], r"it cannot be parsed \(image file is truncated"),
        (lambda data: b"%PDF-1.7" + data, "expected JPEG, PNG, .* found a file that begins with b'%PDF-1.7'"),
        (lambda data: data[:3] + b"\0" * 40, "it cannot be parsed"),
    ],
)
def test_damaged_pictures_are_refused_by_name(
    damage: Callable[[bytes], bytes], reason: str, encode: Callable[..., bytes]
) -> None:
    with pytest.raises(RecordError, match=rf"^set/picture\.jpg: {reason}.*; copy the file again"):
        decode_pixels(damage(encode()), NAME)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    data = encoded(Image.new("1", (20_000, 5_000)))
    assert len(data) < 200_000
    with pytest.raises(RecordError, match=r"expected at most 89,478,485 pixels, found 20,000 × 5,000; make it smaller"):
        decode_pixels(data, NAME)
    small = encoded(Image.new("L", (20, 5)))
    assert decode_pixels(small, NAME, Decoding(max_pixels=100)).shape == (5, 20, 3)
    with pytest.raises(RecordError, match="expected at most 99 pixels"):
        decode_pixels(small, NAME, Decoding(max_pixels=99))


def test_broken_pictures_do_not_end_a_run(folder: Path) -> None:
    (folder / "train" / "cat" / "1.jpg").write_bytes(b"")
    (folder / "train" / "owl" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    pictures, failures = open_pictures(folder, "train"), Failures()
    assert len(list(pictures.read_all(failures.add))) == 8
    first, *lines = failures.report(len(pictures), "pictures").splitlines()
    assert first == "2 of 10 pictures could not be read"
    assert re.match(r"  cat/1\.jpg: .*cat/1\.jpg: expected a picture, found 0 bytes; copy", lines[0])


def test_odd_pictures_are_read_or_refused(real_data: Path) -> None:
    pictures, failures = open_pictures(real_data / "images_odd", "test"), Failures()
    shapes = {record.id: picture.pixels.shape for record, picture in pictures.read_all(failures.add)}
    assert len(pictures) == 12
    assert shapes == {
        "a1.png": (400, 640, 3),
        "bad_huffman.jpg": (768, 1024, 3),
        "cmyk_pytorch.jpg": (100, 100, 3),
        "gray_pytorch.jpg": (100, 100, 3),
        "palette_pytorch.png": (100, 100, 3),
        "rgbalpha_pytorch.png": (100, 100, 3),
        "wizard_low-interlaced.png": (471, 354, 3),
    }
    assert sorted(failures.reasons) == [
        "corrupt.jpg",
        "corrupt34_2.jpg",
        "corrupt34_3.jpg",
        "corrupt34_4.jpg",
        "sigsegv.png",
    ]
    for name, reason in failures.reasons.items():
        assert re.search(rf"images_odd/{name}: .*; copy the file again, or remove it from the data set$", reason)
