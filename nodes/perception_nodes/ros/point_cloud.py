"""Reads `sensor_msgs/PointCloud2`: positions, and colours where it has them.

Positions are the fields x, y, z, of any type; ROS has metres (REP 103), so integers are whole metres. Colours are r, g,
b as uint8, or packed as PCL and RealSense send them: a field rgb or rgba of four bytes, 0x00RRGGBB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from perception_nodes.ros.cdr_payload import MalformedMessage, Payload
from perception_nodes.ros.messages import POINT_CLOUD, deserialize, stamp_ns_of

MAX_POINTS = 4_000_000
"""Maximum number of a message's points; more would take hundreds of megabytes while they are read."""
MAX_FIELDS = 64
"""Maximum number of a point's fields; drivers send about ten."""
_STAMP_BYTES = 8
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""numpy's names for the types of `sensor_msgs/PointField`."""
_NUMBERS, _PACKED = tuple(_TYPES.values()), ("u4", "i4", "f4")


@dataclass(frozen=True)
class SensedCloud:
    """A point cloud as it was sent.

    Attributes:
        stamp_ns: Time of the measurement.
        frame_id: Name of the frame that the points are in.
        points: Positions in metres; some may not be finite.
        colors: Red, green and blue of every point; None if the message has no colours.
    """

    stamp_ns: int
    frame_id: str
    points: Float[np.ndarray, "points 3"]
    colors: UInt8[np.ndarray, "points 3"] | None


def read_point_cloud(cdr: bytes) -> SensedCloud:
    """Returns the cloud in a message.

    Raises:
        MalformedMessage: The bytes are not a cloud, its fields are not within its points or its points not within its
            data, or it has more than `MAX_POINTS`.
    """
    _expect_few_fields(cdr)
    message = deserialize(cdr, POINT_CLOUD)
    _expect_bounds(message)
    points = np.stack([_column(message, name, _NUMBERS) for name in "xyz"], axis=-1)
    if points.dtype.kind != "f":
        points = points.astype(np.float64)
    return SensedCloud(stamp_ns_of(message.header), str(message.header.frame_id), points, _colors(message))


def _expect_few_fields(cdr: bytes) -> None:
    """Refuses a list of fields that would take seconds and gigabytes to read, before it is read."""
    payload = Payload.received(cdr)
    _, end = payload.string(_STAMP_BYTES, "frame_id")
    payload.count(end + -end % 4 + 8, "fields", at_most=MAX_FIELDS)  # behind height and width


def _expect_bounds(message: Any) -> None:
    count = message.width * message.height
    if count > MAX_POINTS:
        raise MalformedMessage(f"a cloud of {count} points; expected at most {MAX_POINTS}")
    last_row = message.width * message.point_step
    needed = (message.height - 1) * _row_step(message) + last_row if count else 0
    if needed > len(message.data) or _row_step(message) < last_row:
        raise MalformedMessage(
            f"a cloud of {message.height} rows of {message.width} points of {message.point_step} bytes, a row every "
            f"{message.row_step}, in {len(message.data)} bytes of data; expected as many as they take"
        )


def _row_step(message: Any) -> int:
    """Returns the bytes of a row; some drivers leave `row_step` 0 if there is one row."""
    return message.row_step if message.height > 1 else message.width * message.point_step


def _column(message: Any, name: str, types: tuple[str, ...]) -> np.ndarray:
    """Returns a field of every point."""
    field = next((field for field in message.fields if field.name == name), None)
    kind = None if field is None else _TYPES.get(field.datatype)
    if field is None or kind not in types or field.count > 1:
        expected = "number" if types is _NUMBERS else " or ".join(np.dtype(kind).name for kind in types)
        raise MalformedMessage(f"a cloud without one {expected} {name!r} a point; it has {_names(message)}")
    if field.offset + np.dtype(kind).itemsize > message.point_step:
        raise MalformedMessage(f"field {name!r} at byte {field.offset} of points of {message.point_step} bytes")
    order = ">" if message.is_bigendian else "<"
    shape, strides = (message.height, message.width), (_row_step(message), message.point_step)
    if not message.width * message.height:
        return np.zeros(0, kind)
    data = np.ascontiguousarray(message.data)
    column = np.ndarray(shape, f"{order}{kind}", data, field.offset, strides)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return column.reshape(-1).astype(kind)


def _colors(message: Any) -> UInt8[np.ndarray, "points 3"] | None:
    names = {field.name for field in message.fields}
    if names >= {"r", "g", "b"}:
        return np.stack([_column(message, name, ("u1",)) for name in "rgb"], axis=-1)
    packed = next((name for name in ("rgb", "rgba") if name in names), None)
    if packed is None:
        return None
    words = _column(message, packed, _PACKED).view("u4")
    return np.stack([words >> shift & 0xFF for shift in (16, 8, 0)], axis=-1).astype(np.uint8)


def _names(message: Any) -> str:
    return ", ".join(str(field.name)[:20] for field in message.fields[:8]) or "no fields"
