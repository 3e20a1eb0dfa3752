from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_nodes.ros.cdr_payload import MAX_MESSAGE_BYTES, MalformedMessage, Payload, blank_message, up_to_8


def test_numbers_are_read_back_from_where_they_were_put() -> None:
    payload = Payload(blank_message(64))
    at = np.array([40, 8])
    payload.put("<f8", at, np.array([1.5, -2.5]))
    payload.put_rows("<f4", np.array([16]), np.array([[1.0, 2.0, 3.0]], np.float32))
    assert payload.take("<f8", at).tolist() == [1.5, -2.5]
    assert payload.take_rows("<f4", np.array([16]), 3).tolist() == [[1.0, 2.0, 3.0]]
    assert payload.view("u1")[:8].tolist() == [0] * 8


def test_runs_of_different_lengths_are_read_back() -> None:
    payload = Payload(blank_message(80))
    at, counts, rows = np.array([0, 16, 16]), np.array([1, 0, 3]), np.arange(8.0).reshape(4, 2)
    payload.put_runs(at, counts, rows)
    np.testing.assert_array_equal(payload.take_runs(at, counts, width=2), rows)


def test_bytes_that_do_not_fill_a_number_are_left_out() -> None:
    assert len(Payload(blank_message(15)).view("<f8")) == 1


def test_a_string_ends_with_a_zero_byte() -> None:
    message = blank_message(16)
    message[4:] = b"\x04\x00\x00\x00m\xc3\xbc\x00" + bytes(8)
    assert Payload(message).string(0, "name") == ("mü", 8)
    for broken in (b"\x00\x00\x00\x00", b"\x03\x00\x00\x00m\xc3\x00\x00", b"\x04\x00\x00\x00abcd", b"\xff\xff\xff\x00"):
        message[4 : 4 + len(broken)] = broken
        with pytest.raises(MalformedMessage, match="name"):
            Payload(message).string(0, "name")


def test_a_count_is_bounded_and_inside() -> None:
    payload = Payload(b"\x00\x01\x00\x00\x07\x00\x00\x00")
    assert payload.count(0, "things") == 7
    with pytest.raises(MalformedMessage, match="7 things at byte 0; expected at most 6"):
        payload.count(0, "things", at_most=6)
    with pytest.raises(MalformedMessage, match="ends after 4 bytes"):
        payload.count(1, "things")


@pytest.mark.parametrize("message", [b"", b"\x00\x01\x00", b"\x00\x00\x00\x00", bytes(MAX_MESSAGE_BYTES + 1)])
def test_what_is_no_little_endian_message_of_bearable_size_is_refused(message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Payload.received(message)


def test_a_payload_may_be_padded_to_a_multiple_of_four_and_no_further() -> None:
    payload = Payload(blank_message(8))
    payload.expect_end(5)
    for end in (4, 9):
        with pytest.raises(MalformedMessage):
            payload.expect_end(end)


def test_multiples_of_eight() -> None:
    assert up_to_8(np.array([0, 1, 8, 9])).tolist() == [0, 8, 8, 16]


@settings(max_examples=60)
@given(starts=st.lists(st.integers(0, 30), unique=True, min_size=1, max_size=8).map(sorted), width=st.integers(1, 5))
def test_rows_at_any_distances_are_written_and_read_back(starts: list[int], width: int) -> None:
    """Those at equal distances go another way than others."""
    starts = [start * 5 for start in starts]
    rows = np.random.default_rng(0).random((len(starts), width))
    message = blank_message(8 * (max(starts) + width))
    payload = Payload(message)
    payload.put_rows("<f8", 8 * np.array(starts), rows)
    expected = np.zeros(max(starts) + width)
    for start, row in zip(starts, rows, strict=True):
        expected[start : start + width] = row
    np.testing.assert_array_equal(payload.view("<f8"), expected)
    read = payload.take_rows("<f8", 8 * np.array(starts), width)
    np.testing.assert_array_equal(read, rows)
    payload.put_rows("<f8", 8 * np.array(starts), 0 * rows)
    np.testing.assert_array_equal(read, rows)  # a copy


def test_rows_beyond_the_end_are_an_error() -> None:
    payload = Payload(blank_message(80))
    for at in ([0, 40, 80], [0, 16, 72], [72, 32, 0]):
        with pytest.raises(IndexError):
            payload.take_rows("<f8", np.array(at), 2)
