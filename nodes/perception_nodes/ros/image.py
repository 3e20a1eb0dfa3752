"""Reads pictures: `sensor_msgs/Image`, and `sensor_msgs/CompressedImage` as image_transport writes it.

A compressed picture is JPEG or PNG. Which of them, its first bytes say; its `format` says only whether it is one, as in
"jpeg", "png", "rgb8; jpeg compressed bgr8" or "mono16; png compressed ".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.image_encodings import ENCODINGS, Encoding
from perception_nodes.ros.message_header import MessageHeader, read_header
from perception_nodes.ros.messages import COMPRESSED_IMAGE, IMAGE, deserialize

MAX_PIXELS = 2**25
"""Maximum number of a picture's pixels, 100 MB in red, green and blue; cameras of robots have 0.3 to 12 million."""
_FORMATS = ("JPEG", "PNG")


@dataclass(frozen=True, eq=False)
class SensedImage:
    """A picture as a camera took it.

    Attributes:
        header: When it was taken, in which frame.
        pixels: Red, green and blue; the first row is the top one.
    """

    header: MessageHeader
    pixels: UInt8[np.ndarray, "height width 3"]


def read_image(cdr: bytes) -> SensedImage:
    """Returns the picture in a `sensor_msgs/Image`.

    Raises:
        MalformedMessage: The bytes are no picture, or one of an unknown encoding, of no or more than `MAX_PIXELS`
            pixels, or whose rows are shorter than their pixels or not all there.
    """
    header, message = read_header(cdr), deserialize(cdr, IMAGE)
    name = str(message.encoding)
    encoding = ENCODINGS.get(name)
    if encoding is None:
        raise MalformedMessage(f"a picture in the encoding {name[:40]!r}; expected one of {', '.join(ENCODINGS)}")
    _expect_pixels(message.height, message.width)
    encoding.expect_size(name, message.height, message.width)
    rows = _rows(message, name, encoding)
    return SensedImage(header, encoding.pixels(rows, big_endian=bool(message.is_bigendian)))


def read_compressed_image(cdr: bytes) -> SensedImage:
    """Returns the picture in a `sensor_msgs/CompressedImage`.

    Raises:
        MalformedMessage: The bytes are no picture, or one that is neither JPEG nor PNG, damaged, cut off, or of more
            than `MAX_PIXELS` pixels.
    """
    from perception.images.encoded import open_encoded, to_rgb

    header, message = read_header(cdr), deserialize(cdr, COMPRESSED_IMAGE)
    stated = str(message.format)
    if "compresseddepth" in stated.lower():
        raise MalformedMessage(f"a picture of the format {stated[:40]!r}, which holds depths; expected colours or grey")
    try:
        pixels = np.asarray(to_rgb(open_encoded(bytes(message.data), MAX_PIXELS, _FORMATS)))
    except Exception as error:  # parsers raise almost anything for damaged bytes
        raise MalformedMessage(f"a compressed picture ({stated[:40]!r}): {error or type(error).__name__}") from error
    return SensedImage(header, pixels)


READERS = {IMAGE: read_image, COMPRESSED_IMAGE: read_compressed_image}
"""Type of a message → its reader."""


def _expect_pixels(height: int, width: int) -> None:
    if not 0 < height * width <= MAX_PIXELS:
        raise MalformedMessage(f"a picture of {width} × {height} pixels; expected 1 to {MAX_PIXELS:,} of them")


def _rows(message: Any, name: str, encoding: Encoding) -> UInt8[np.ndarray, "rows row_bytes"]:
    """Returns the rows without their padding, without a copy."""
    rows, row_bytes, step = encoding.rows(message.height), message.width * encoding.pixel_bytes, message.step
    data = np.ascontiguousarray(message.data, np.uint8)
    if step < row_bytes or (rows - 1) * step + row_bytes > len(data):
        raise MalformedMessage(
            f"a picture in {name} of {message.width} × {message.height} pixels, a row every {step} bytes, in "
            f"{len(data)} bytes of data; expected {rows} rows of at least {row_bytes}"
        )
    return np.lib.stride_tricks.as_strided(data, (rows, row_bytes), (step, 1), writeable=False)
