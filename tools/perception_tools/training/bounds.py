"""Bounds of numbers: declared in the type of a dataclass's field, checked in one place.

Nothing here imports torch: help is instant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from perception.errors import InputError


@dataclass(frozen=True)
class Bounds:
    """What a number may be; infinities and what is no number are never in bounds.

    Attributes:
        low: Smallest value.
        high: Largest value.
        above: Whether the smallest value itself is out of bounds.
        below: Whether the largest value itself is out of bounds.
    """

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def hold(self, value: float) -> bool:
        """Whether a value is in bounds."""
        outside = not self.low <= value <= self.high or (self.above and value == self.low)
        return math.isfinite(value) and not outside and not (self.below and value == self.high)

    def __str__(self) -> str:
        low = f"above {self.low:,}" if self.above else f"at least {self.low:,}"
        if math.isinf(self.high):
            return f"a number of {low}" if not self.above else f"a number {low}"
        if self.above:
            return f"a number {low}, {'below' if self.below else 'up to'} {self.high:,}"
        return f"a number from {self.low:,} to {'below ' if self.below else ''}{self.high:,}"


Count = Annotated[int, Bounds(1)]
"""A number of things without which there is nothing to do."""
Index = Annotated[int, Bounds(0)]
"""A number of things that may be none."""
Size = Annotated[int, Bounds(1, 2**20)]
"""A width, or a number of things computed together; more would not fit into any memory."""
Depth = Annotated[int, Bounds(0, 1000)]
"""A number of layers."""
Seed = Annotated[int, Bounds(0, 2**32 - 1)]
"""PyTorch and NumPy have a generator for each."""
Share = Annotated[float, Bounds(0, 1)]
"""A part of a whole, or a probability."""
Decay = Annotated[float, Bounds(0, 1, below=True)]
"""What is kept of an average in each step."""
Positive = Annotated[float, Bounds(0, above=True)]
"""A rate, or a factor that must not be 0."""
Weight = Annotated[float, Bounds(0)]
"""A factor that may be 0."""
Amount = Annotated[float, Bounds(0)]
"""A quantity of which there may be none."""


def check_bounds(values: Any) -> None:
    """Checks every number of a dataclass, and of the dataclasses in it, by the bounds in its field's type.

    Raises:
        InputError: A number is out of bounds; the message begins with its dotted name.
    """
    for name, bounds, number in _bounded(values):
        if not bounds.hold(number):
            raise InputError(f"{name}: expected {bounds}, got {number}; choose such a number")


def _bounded(values: Any, prefix: str = "") -> Iterator[tuple[str, Bounds, float]]:
    """Dotted name, bounds and value of every number that has bounds."""
    for name, hint in get_type_hints(type(values), include_extras=True).items():
        value = getattr(values, name)
        if is_dataclass(value):
            yield from _bounded(value, f"{prefix}{name}.")
        else:
            for number, bounds in _numbers(value, hint):
                yield prefix + name, bounds, number


def _numbers(value: Any, hint: Any) -> Iterator[tuple[float, Bounds]]:
    """Numbers in a field's value: itself, or those in its tuple or mapping; none where the value is None."""
    if get_origin(hint) is Annotated:
        bounds = next((extra for extra in get_args(hint)[1:] if isinstance(extra, Bounds)), None)
        if bounds is not None and value is not None:
            yield value, bounds
    elif isinstance(value, tuple):
        for item, inner in zip(value, get_args(hint), strict=False):
            yield from _numbers(item, inner)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _numbers(item, get_args(hint)[-1])
    elif value is not None:
        for inner in get_args(hint):  # of `Count | None`
            yield from _numbers(value, inner) if get_origin(inner) is Annotated else ()
