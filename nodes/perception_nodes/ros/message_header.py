"""Reads the `std_msgs/Header` that messages of sensors begin with, and nothing of what may follow by the megabyte."""

from __future__ import annotations

from dataclasses import dataclass

from perception_nodes.ros.cdr_payload import Buffer, MalformedMessage, Payload

LONGEST_FRAME_ID = 1000
"""Maximum length of a frame's name in bytes; it goes out again with each answer."""
_NS = 1_000_000_000
_STAMP_BYTES = 8


@dataclass(frozen=True)
class MessageHeader:
    """When and where something was sensed.

    Attributes:
        stamp_ns: Time of the measurement, nanoseconds.
        frame_id: Name of the sensor's frame.
    """

    stamp_ns: int
    frame_id: str


NO_HEADER = MessageHeader(0, "")
"""Header of what is said of a message whose own cannot be read."""


def read_header(cdr: Buffer) -> MessageHeader:
    """Returns the header that a message begins with.

    Raises:
        MalformedMessage: There is none, its stamp is before 1970 or no time, or the name of its frame is too long.
    """
    payload = Payload.received(cdr)
    if payload.size < _STAMP_BYTES:
        raise MalformedMessage(f"the message ends after {payload.size} bytes, within its stamp")
    seconds = int.from_bytes(cdr[4:8], "little", signed=True)
    nanoseconds = int.from_bytes(cdr[8:12], "little")
    if seconds < 0 or nanoseconds >= _NS:
        raise MalformedMessage(f"a stamp of {seconds} s and {nanoseconds} ns; expected one since 1970, below 10⁹ ns")
    length = payload.count(_STAMP_BYTES, "bytes of frame_id", at_most=LONGEST_FRAME_ID)
    frame_id = "" if not length else payload.string(_STAMP_BYTES, "frame_id")[0]
    return MessageHeader(seconds * _NS + nanoseconds, frame_id)
