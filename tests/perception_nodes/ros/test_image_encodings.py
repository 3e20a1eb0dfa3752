"""Pixels by encoding, held to plain implementations written from the formulas, to FFmpeg, and to OpenCV where it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.image_encodings import ENCODINGS

PATTERNS = {"bayer_rggb8": "RGGB", "bayer_grbg8": "GRBG", "bayer_gbrg8": "GBRG", "bayer_bggr8": "BGGR"}
OPENCV = {  # OpenCV names a pattern by its second row and second column
    "bayer_rggb8": "COLOR_BayerBG2RGB",
    "bayer_grbg8": "COLOR_BayerGB2RGB",
    "bayer_gbrg8": "COLOR_BayerGR2RGB",
    "bayer_bggr8": "COLOR_BayerRG2RGB",
    "yuv422": "COLOR_YUV2RGB_UYVY",
    "uyvy": "COLOR_YUV2RGB_UYVY",
    "yuv422_yuy2": "COLOR_YUV2RGB_YUY2",
    "yuyv": "COLOR_YUV2RGB_YUY2",
    "nv12": "COLOR_YUV2RGB_NV12",
    "nv21": "COLOR_YUV2RGB_NV21",
}


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def pixels_of(encoding: str, raw: np.ndarray, big_endian: bool = False) -> np.ndarray:
    return ENCODINGS[encoding].pixels(raw, big_endian=big_endian)


@pytest.mark.parametrize(
    ("encoding", "order"), [("rgb8", [0, 1, 2]), ("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 3]), ("bgra8", [2, 1, 0, 3])]
)
def test_channels_are_put_in_order(encoding: str, order: list[int]) -> None:
    rgba = random(4, 5, 4)
    raw = rgba[..., order].reshape(4, -1)
    np.testing.assert_array_equal(pixels_of(encoding, raw), rgba[..., :3])


def test_grey_is_repeated_and_of_16_bits_the_upper_byte_counts_in_either_order() -> None:
    grey = random(3, 4)
    np.testing.assert_array_equal(pixels_of("mono8", grey), np.stack([grey] * 3, -1))
    wide = grey.astype(np.uint16) * 256 + random(3, 4, seed=1)
    for order, big in (("<u2", False), (">u2", True)):
        raw = wide.astype(order).view(np.uint8).reshape(3, -1)
        np.testing.assert_array_equal(pixels_of("mono16", raw, big), np.stack([grey] * 3, -1))


def plain_bayer(raw: np.ndarray, pattern: str) -> np.ndarray:
    """Every pixel by itself, with a mirrored border."""
    height, width = raw.shape

    def mirrored(i: int, length: int) -> int:
        return -i if i < 0 else 2 * (length - 1) - i if i >= length else i

    rgb = np.zeros((height, width, 3), np.uint8)
    for i in range(height):
        for j in range(width):
            for c, colour in enumerate("RGB"):
                found: dict[int, list[int]] = {}
                for di in (-1, 0, 1):
                    for dj in (-1, 0, 1):
                        at = mirrored(i + di, height), mirrored(j + dj, width)
                        if pattern[2 * ((i + di) % 2) + (j + dj) % 2] == colour:
                            found.setdefault(di * di + dj * dj, []).append(int(raw[at]))
                nearest = found[min(found)]
                rgb[i, j, c] = (sum(nearest) + len(nearest) // 2) // len(nearest)
    return rgb


@pytest.mark.parametrize("encoding", PATTERNS)
@given(shape=st.tuples(st.integers(2, 7), st.integers(2, 7)), seed=st.integers(0, 99))
def test_bayer_patterns_are_interpolated_from_the_nearest_samples(
    encoding: str, shape: tuple[int, int], seed: int
) -> None:
    raw = random(*shape, seed=seed)
    np.testing.assert_array_equal(pixels_of(encoding, raw), plain_bayer(raw, PATTERNS[encoding]))


def plain_yuv(y: float, u: float, v: float) -> list[float]:
    """BT.601 of limited range, in real numbers."""
    bright = 1.164 * max(y - 16, 0)
    r, b = bright + 1.596 * (v - 128), bright + 2.018 * (u - 128)
    return [min(max(value, 0), 255) for value in (r, bright - 0.813 * (v - 128) - 0.391 * (u - 128), b)]


def yuv_at(encoding: str, raw: np.ndarray, i: int, j: int) -> tuple[float, float, float]:
    """Brightness and chroma of a pixel."""
    if encoding in ("nv12", "nv21"):
        u, v = raw[len(raw) * 2 // 3 + i // 2, 2 * (j // 2) : 2 * (j // 2) + 2].tolist()
        return (float(raw[i, j]), u, v) if encoding == "nv12" else (float(raw[i, j]), v, u)
    group = raw[i, 4 * (j // 2) : 4 * (j // 2) + 4].tolist()
    ys, u, v = (
        ((group[1], group[3]), group[0], group[2])
        if encoding in ("yuv422", "uyvy")
        else ((group[0], group[2]), group[1], group[3])
    )
    return ys[j % 2], u, v


@pytest.mark.parametrize(("encoding", "row_bytes"), [("yuv422", 2), ("yuyv", 2), ("nv12", 1), ("nv21", 1)])
def test_yuv_is_converted_by_bt601_of_limited_range(encoding: str, row_bytes: int) -> None:
    raw = random(ENCODINGS[encoding].rows(130), 6 * row_bytes)  # more rows than are converted at a time
    expected = [[plain_yuv(*yuv_at(encoding, raw, i, j)) for j in range(6)] for i in range(130)]
    np.testing.assert_allclose(pixels_of(encoding, raw), expected, atol=1.0)


@pytest.mark.parametrize("encoding", OPENCV)
def test_it_is_what_opencv_makes_of_it(encoding: str) -> None:
    """Of a Bayer pattern but the border."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    bayer, shared = encoding in PATTERNS, encoding.startswith("nv")
    raw = random(ENCODINGS[encoding].rows(100), 20 * ENCODINGS[encoding].pixel_bytes, seed=3)
    given_ = raw if bayer or shared else raw.reshape(100, 20, 2)
    expected, inner = cv2.cvtColor(given_, getattr(cv2, OPENCV[encoding])), slice(1, -1) if bayer else slice(None)
    np.testing.assert_array_equal(pixels_of(encoding, raw)[inner, inner], expected[inner, inner])


@pytest.mark.parametrize(("encoding", "theirs"), [("yuyv", "yuyv422"), ("nv12", "nv12")])
def test_a_picture_of_few_colours_is_what_ffmpeg_makes_of_it(encoding: str, theirs: str) -> None:
    """FFmpeg interpolates chroma, so the colours are flat; it rounds otherwise, by up to 2."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    rgb = np.kron(random(2, 3, 3, seed=5), np.ones((16, 16, 1), np.uint8))
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=theirs)
    raw = frame.to_ndarray().reshape(ENCODINGS[encoding].rows(32), -1)
    centre = np.s_[4::16, 6::16]
    np.testing.assert_allclose(pixels_of(encoding, raw)[centre].astype(int), rgb[centre], atol=3)


@pytest.mark.parametrize(
    ("encoding", "height", "width", "reason"),
    [
        ("yuv422", 4, 5, "a picture in yuv422 of 5 × 4 pixels; expected an even one"),
        ("nv12", 5, 4, "a picture in nv12 of 4 × 5 pixels; expected an even one"),
        ("bayer_rggb8", 1, 4, "a picture in bayer_rggb8 of 4 × 1 pixels; expected at least 2 × 2"),
    ],
)
def test_a_size_that_an_encoding_cannot_have_is_refused(encoding: str, height: int, width: int, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        ENCODINGS[encoding].expect_size(encoding, height, width)
    ENCODINGS[encoding].expect_size(encoding, 4, 4)
    ENCODINGS["rgb8"].expect_size("rgb8", 1, 5)
