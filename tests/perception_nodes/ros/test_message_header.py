from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.message_header import LONGEST_FRAME_ID, MessageHeader, read_header
from perception_nodes.ros.messages import COMPRESSED_IMAGE, header, make, serialize

LATEST_NS = 2**31 * 10**9 - 1


def message(stamp_ns: int, frame_id: str) -> bytes:
    fields = {"header": header(stamp_ns, frame_id), "format": "jpeg", "data": np.arange(7, dtype=np.uint8)}
    return serialize(make(COMPRESSED_IMAGE, **fields), COMPRESSED_IMAGE)


@given(st.integers(0, LATEST_NS), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=50))
def test_it_is_what_was_written(stamp_ns: int, frame_id: str) -> None:
    assert read_header(message(stamp_ns, frame_id)) == MessageHeader(stamp_ns, frame_id)


@pytest.mark.parametrize(
    ("cdr", "reason"),
    [
        (b"", "a message of 0 bytes"),
        (b"\x00\x01\x00\x00123", "ends after 3 bytes, within its stamp"),
        (b"\x00\x01\x00\x00" + b"\0" * 8, "before a count of bytes of frame_id"),
        (message(0, "x" * LONGEST_FRAME_ID), "1001 bytes of frame_id at byte 8; expected at most 1000"),
        (b"\x00\x01\x00\x00" + b"\xff" * 4 + b"\0" * 12, "a stamp of -1 s and 0 ns; expected one since 1970"),
        (b"\x00\x01\x00\x00" + b"\0" * 4 + b"\xff" * 4 + b"\0" * 8, "a stamp of 0 s and 4294967295 ns"),
        (b"\x00\x01\x00\x00" + b"\0" * 8 + b"\x03\0\0\0\xff\xfe\0", "is no UTF-8 text"),
        (b"\x00\x00\x00\x00" + b"\0" * 16, "encapsulation 0000"),
    ],
)
def test_others_are_refused(cdr: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        read_header(cdr)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        found = read_header(b"\x00\x01\x00\x00" + data)
    except MalformedMessage:
        return
    assert 0 <= found.stamp_ns <= LATEST_NS
