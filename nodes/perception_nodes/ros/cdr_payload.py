"""The bytes of a CDR message: reads and writes many numbers at byte offsets at a time."""

from __future__ import annotations

import struct
from typing import TypeVar

import numpy as np
from jaxtyping import Int64, Shaped

from perception.errors import InputError

MAX_MESSAGE_BYTES = 64 * 2**20
"""Maximum size of a message: 2,000 objects with six futures of 60 poses take two thirds of it."""

_UINT32 = struct.Struct("<I").unpack_from

Buffer = bytes | bytearray | memoryview
Offset = TypeVar("Offset", int, np.ndarray)


class MalformedMessage(InputError):
    """Bytes that are not a message of the expected type. Drop them: the sender is at fault."""


class Payload:
    """A message's bytes after the four of encapsulation, read and written by offset."""

    def __init__(self, message: Buffer) -> None:
        self._message = message
        self.size = len(message) - 4

    @classmethod
    def received(cls, message: Buffer) -> Payload:
        """Returns the payload of a message of unknown content."""
        if not 4 <= len(message) <= MAX_MESSAGE_BYTES:
            raise MalformedMessage(f"a message of {len(message)} bytes; expected 4 to {MAX_MESSAGE_BYTES}")
        if bytes(message[:2]) != b"\x00\x01":
            raise MalformedMessage(f"encapsulation {bytes(message[:2]).hex()}; expected 0001, little-endian plain CDR")
        return cls(message)

    def view(self, dtype: str) -> np.ndarray:
        """Returns the payload as numbers of a type, without a rest that is shorter than one."""
        return np.frombuffer(self._message, dtype, count=self.size // np.dtype(dtype).itemsize, offset=4)

    def count(self, at: int, what: str, at_most: int = MAX_MESSAGE_BYTES) -> int:
        """Returns the uint32 count at an offset; refuses one above `at_most`."""
        if at + 4 > self.size:
            raise MalformedMessage(f"the message ends after {self.size} bytes, before a count of {what} at {at}")
        count = _UINT32(self._message, 4 + at)[0]
        if count > at_most:
            raise MalformedMessage(f"{count} {what} at byte {at}; expected at most {at_most}")
        return count

    def string(self, at: int, what: str) -> tuple[str, int]:
        """Returns the string at an offset, and the offset of its end."""
        length = self.count(at, what=f"bytes of {what}")
        end = at + 4 + length
        if length < 1 or end > self.size or self.view("u1")[end - 1] != 0:
            raise MalformedMessage(f"{what} at byte {at} has no end; expected a zero byte at {end - 1}")
        try:
            return self.view("u1")[at + 4 : end - 1].tobytes().decode(), end
        except UnicodeDecodeError as error:
            raise MalformedMessage(f"{what} at byte {at} is no UTF-8 text: {error.reason}") from error

    def expect_end(self, at: int) -> None:
        """Refuses a message that does not end at an offset or, padded to a multiple of four, just after it."""
        if not at <= self.size <= at + 3:
            raise MalformedMessage(f"a message of {self.size} bytes whose content takes {at}")

    def put(self, dtype: str, at: Int64[np.ndarray, " n"], values: Shaped[np.ndarray, " n"]) -> None:
        """Writes one number to each offset."""
        view = self.view(dtype)
        view[at // view.itemsize] = values

    def take(self, dtype: str, at: Int64[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
        """Reads one number from each offset."""
        view = self.view(dtype)
        return view[at // view.itemsize]

    def put_rows(self, dtype: str, at: Int64[np.ndarray, " n"], rows: Shaped[np.ndarray, "n width"]) -> None:
        """Writes a row of numbers to each offset."""
        view, starts, width = *self._starts(dtype, at), rows.shape[1]
        if _is_regular(starts, width, len(view)):
            _strided(view, starts, width)[...] = rows
        else:
            view[starts[:, None] + np.arange(width)] = rows

    def take_rows(self, dtype: str, at: Int64[np.ndarray, " n"], width: int) -> Shaped[np.ndarray, "n width"]:
        """Reads a row of numbers from each offset."""
        view, starts = self._starts(dtype, at)
        if _is_regular(starts, width, len(view)):
            return _strided(view, starts, width).copy()
        return view[starts[:, None] + np.arange(width)]

    def _starts(self, dtype: str, at: Int64[np.ndarray, " n"]) -> tuple[np.ndarray, Int64[np.ndarray, " n"]]:
        """Returns the payload as numbers, and the number at each offset."""
        view = self.view(dtype)
        return view, at // view.itemsize

    def put_runs(self, at: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"], rows: np.ndarray) -> None:
        """Writes a run of rows of doubles to each offset; for long runs this is faster than `put_rows`."""
        view, source = self.view("<f8"), rows.reshape(-1)
        width = rows.shape[1]
        begin = 0
        for start, length in zip((at // 8).tolist(), (width * counts).tolist(), strict=True):
            view[start : start + length] = source[begin : begin + length]
            begin += length

    def take_runs(self, at: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"], width: int) -> np.ndarray:
        """Reads a run of rows of doubles from each offset."""
        view = self.view("<f8")
        starts, lengths = (at // 8).tolist(), (width * counts).tolist()
        runs = [view[start : start + length] for start, length in zip(starts, lengths, strict=True)]
        return np.concatenate([np.zeros(0), *runs]).reshape(-1, width)


def _is_regular(starts: Int64[np.ndarray, " n"], width: int, size: int) -> bool:
    """Whether rows are within `size` numbers, one after the other at equal distances, as objects of one shape are."""
    if len(starts) < 2:
        return False
    distance = starts[1] - starts[0]
    return bool(starts[0] >= 0 and distance >= width and starts[-1] + width <= size) and bool(
        (starts[1:] - starts[:-1] == distance).all()
    )


def _strided(view: np.ndarray, starts: Int64[np.ndarray, " n"], width: int) -> np.ndarray:
    """Returns regular rows without copying; some ten times faster than an index for each number."""
    strides = (int(starts[1] - starts[0]) * view.itemsize, view.itemsize)
    return np.lib.stride_tricks.as_strided(view[starts[0] :], (len(starts), width), strides)


def blank_message(size: int) -> bytearray:
    """Returns an encapsulation and a payload of `size` zeros."""
    message = bytearray(4 + size)
    message[1] = 1
    return message


def up_to_8(size: Offset) -> Offset:
    """Returns the next multiple of eight."""
    return size + -size % 8
