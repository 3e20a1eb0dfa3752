"""The pixels of `sensor_msgs/Image` in red, green and blue of 8 bits, by encoding.

* Colours and grey: channels are put in order, transparency is dropped, grey is repeated. Of 16-bit grey the upper 8
  bits count, as where a picture of 16 bits is decoded (`perception.images.encoded`).
* YUV: BT.601 of limited range, with the integers of OpenCV's conversion, which ROS nodes use: with c = 1.164 (Y − 16),
  R = c + 1.596 (V − 128), G = c − 0.813 (V − 128) − 0.391 (U − 128), B = c + 2.018 (U − 128). A chroma sample counts
  for both, or all four, of its pixels as it is.
* Bayer patterns: each missing colour is the mean of the two or four nearest samples of that colour, rounded to the
  nearest, as in `image_proc`'s default; beyond the border the picture is mirrored. (OpenCV repeats the row and column
  next to the border instead, so the outermost pixels differ.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from jaxtyping import UInt8

from perception_nodes.ros.cdr_payload import MalformedMessage

Raw = UInt8[np.ndarray, "rows row_bytes"]
Pixels = UInt8[np.ndarray, "height width 3"]

_SHIFT = 20
_Y, _V_TO_R, _V_TO_G, _U_TO_G, _U_TO_B = 1220542, 1673527, -852492, -409993, 2116026
"""OpenCV's ITUR_BT_601 constants: 1.164, 1.596, −0.813, −0.391 and 2.018, times 2²⁰."""
_BAND = 64
"""Number of rows that are converted at a time, an even one: the integers of a whole picture would take 600 MB."""


@dataclass(frozen=True)
class Encoding:
    """How pixels lie in memory.

    Attributes:
        pixel_bytes: Bytes of a pixel in a row.
        to_rgb: Converts rows of samples of one byte, without their padding.
        sample_bytes: Bytes of a sample, 1 or 2; of two only the upper one counts.
        even_width: Whether two pixels share their chroma.
        half_rows: Whether rows of chroma follow, half as many as there are of pixels.
        least: Minimum number of rows and columns.
    """

    pixel_bytes: int
    to_rgb: Callable[[Raw], Pixels]
    sample_bytes: int = 1
    even_width: bool = False
    half_rows: bool = False
    least: int = 1

    def rows(self, height: int) -> int:
        """Returns the number of rows in memory."""
        return height * 3 // 2 if self.half_rows else height

    def pixels(self, raw: Raw, *, big_endian: bool) -> Pixels:
        """Returns red, green and blue of rows without their padding.

        Args:
            raw: The rows.
            big_endian: Whether the upper byte of a sample comes first.
        """
        if self.sample_bytes == 2:
            raw = raw[:, (0 if big_endian else 1) :: 2]
        return self.to_rgb(raw)

    def expect_size(self, name: str, height: int, width: int) -> None:
        """Refuses a size that a picture of this encoding cannot have."""
        odd = (self.even_width and width % 2) or (self.half_rows and height % 2)
        if odd or min(height, width) < self.least:
            even = "an even one" if odd else f"at least {self.least} × {self.least}"
            raise MalformedMessage(f"a picture in {name} of {width} × {height} pixels; expected {even}")


def _channels(raw: Raw, order: tuple[int, ...], count: int) -> Pixels:
    """Takes three channels of `count`."""
    return raw.reshape(len(raw), -1, count)[..., list(order)]


def _grey(raw: Raw) -> Pixels:
    return np.repeat(raw[..., None], 3, axis=-1)


def _yuv422(raw: Raw, y: int, u: int, v: int) -> Pixels:
    """Converts groups of four bytes for two pixels; `y`, `u`, `v` are the places of the first of each."""
    return _by_bands(raw[:, y::2], raw[:, u::4], raw[:, v::4], rows_of_chroma=1)


def _yuv420(raw: Raw, u: int, v: int) -> Pixels:
    """Converts a plane of brightness and one of chroma, of which a sample counts for 2 × 2 pixels."""
    height = len(raw) * 2 // 3
    return _by_bands(raw[:height], raw[height:, u::2], raw[height:, v::2], rows_of_chroma=2)


def _by_bands(y: Raw, u: Raw, v: Raw, rows_of_chroma: int) -> Pixels:
    """Converts brightness and chroma; a row of chroma counts for some rows of brightness."""
    rgb = np.empty((*y.shape, 3), np.uint8)
    for start in range(0, len(y), _BAND):
        rows, chroma = slice(start, start + _BAND), slice(start // rows_of_chroma, (start + _BAND) // rows_of_chroma)
        band = [np.repeat(plane[chroma], rows_of_chroma, axis=0) for plane in (u, v)]
        rgb[rows] = _bt601(y[rows], *band)
    return rgb


def _bt601(y: Raw, u: Raw, v: Raw) -> Pixels:
    """Converts rows whose chroma has half as many columns."""
    blue, red = (plane.astype(np.int32) - 128 for plane in (u, v))
    half = 1 << (_SHIFT - 1)
    shades = np.stack([half + _V_TO_R * red, half + _V_TO_G * red + _U_TO_G * blue, half + _U_TO_B * blue], axis=-1)
    bright = _Y * np.maximum(y.astype(np.int32) - 16, 0)
    rgb = bright[..., None] + np.repeat(shades, 2, axis=1)
    return (rgb >> _SHIFT).clip(0, 255).astype(np.uint8)


def _demosaic(raw: Raw, red_row: int, red_column: int) -> Pixels:
    """Interpolates a Bayer pattern whose first red sample is in this row and column, 0 or 1."""
    height, width = raw.shape
    padded = np.pad(raw, 1, mode="reflect")

    def mean(row: int, column: int, *offsets: tuple[int, int]) -> np.ndarray:
        """Returns the mean of the samples at offsets from every second pixel of every second row."""
        total: np.ndarray = np.full((1, 1), len(offsets) // 2, np.uint16)
        for down, right in offsets:
            total = total + padded[1 + row + down : height + 1 + down : 2, 1 + column + right : width + 1 + right : 2]
        return total // len(offsets)

    beside, above = ((0, -1), (0, 1)), ((-1, 0), (1, 0))
    around, corners = beside + above, tuple(product((-1, 1), (-1, 1)))
    rgb = np.empty((height, width, 3), np.uint8)
    for row, column in product((0, 1), (0, 1)):
        out, at = rgb[row::2, column::2], partial(mean, row, column)
        of_red_row, of_red_column = row == red_row, column == red_column
        is_green = of_red_row != of_red_column
        out[..., 1] = at((0, 0)) if is_green else at(*around)
        if is_green:
            out[..., 0], out[..., 2] = (at(*beside), at(*above)) if of_red_row else (at(*above), at(*beside))
        else:
            own, other = (0, 2) if of_red_row else (2, 0)
            out[..., own], out[..., other] = at((0, 0)), at(*corners)
    return rgb


def _colours(order: tuple[int, ...], count: int) -> Encoding:
    return Encoding(count, partial(_channels, order=order, count=count))


def _bayer(red_row: int, red_column: int) -> Encoding:
    return Encoding(1, partial(_demosaic, red_row=red_row, red_column=red_column), least=2)


_UYVY = Encoding(2, partial(_yuv422, y=1, u=0, v=2), even_width=True)
_YUYV = Encoding(2, partial(_yuv422, y=0, u=1, v=3), even_width=True)

ENCODINGS: Mapping[str, Encoding] = {
    "rgb8": _colours((0, 1, 2), 3),
    "bgr8": _colours((2, 1, 0), 3),
    "rgba8": _colours((0, 1, 2), 4),
    "bgra8": _colours((2, 1, 0), 4),
    "mono8": Encoding(1, _grey),
    "mono16": Encoding(2, _grey, sample_bytes=2),
    "bayer_rggb8": _bayer(0, 0),
    "bayer_grbg8": _bayer(0, 1),
    "bayer_gbrg8": _bayer(1, 0),
    "bayer_bggr8": _bayer(1, 1),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": Encoding(1, partial(_yuv420, u=0, v=1), even_width=True, half_rows=True),
    "nv21": Encoding(1, partial(_yuv420, u=1, v=0), even_width=True, half_rows=True),
}
"""By the names in `sensor_msgs/image_encodings.hpp`; nv12 is not among them, and drivers send it."""
