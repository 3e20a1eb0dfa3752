"""Records that cannot be read in training: the next ones take their places, and they are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from perception.errors import InputError

MAX_UNREAD = 20
"""Number of records in a row that may be unreadable before training stops."""

Value = TypeVar("Value")
Faults = tuple[tuple[str, str], ...]
"""Name and fault of records that could not be read."""


@dataclass(frozen=True)
class ReadRecord(Generic[Value]):
    """A record that could be read.

    Attributes:
        index: Number of the record.
        value: What was read.
        unread: Name and fault of the records that should have stood in its place.
    """

    index: int
    value: Value
    unread: Faults


def first_readable(
    read: Callable[[int], Value], start: int, count: int, name: Callable[[int], str], noun: str
) -> ReadRecord[Value]:
    """Reads a record, or the next one that can be read; after the last comes the first.

    Args:
        read: Function from a record's number to what is read; raises InputError if that fails.
        start: Number of the record that is wanted.
        count: Number of records.
        name: Function from a record's number to its name.
        noun: What records are called, in the plural.

    Raises:
        InputError: Neither it nor those after it can be read.
    """
    unread: list[tuple[str, str]] = []
    for offset in range(min(MAX_UNREAD, count)):
        index = (start + offset) % count
        try:
            return ReadRecord(index, read(index), tuple(unread))
        except InputError as error:
            unread.append((name(index), str(error)))
    raise InputError(
        f"training {noun}: expected some that can be read, found {len(unread)} in a row that cannot; the first: "
        f"{unread[0][1]}"
    )
