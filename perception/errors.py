"""Errors that a user can cause; the command line prints their message without a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice


class InputError(ValueError):
    """Input that cannot be used. The message names the input, what was expected, what was found, and how to fix it."""


def first_of(things: Iterable[object], most: int = 5) -> str:
    """Returns the first of some things as a message lists them, and "…" for the others."""
    shown = list(map(str, islice(things, most + 1)))
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")
