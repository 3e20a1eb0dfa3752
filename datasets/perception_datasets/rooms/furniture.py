"""Kinds of furniture, composed of boxes.

Frame of an item: x along its width from the middle, y from its back (0, where a wall may be) to its front, z up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from perception.scenes.classes import NYU40

COLORS = {
    "red": (190, 40, 40),
    "green": (50, 140, 60),
    "blue": (45, 80, 180),
    "yellow": (225, 195, 50),
    "brown": (115, 72, 40),
    "black": (35, 35, 38),
    "white": (236, 236, 232),
}


@dataclass(frozen=True)
class Part:
    """A box of an item: two corners in the item's frame, and a factor on the brightness of the item's colour."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    brightness: float = 1.0


Build = Callable[[float, float, float], list[Part]]


@dataclass(frozen=True)
class Kind:
    """A kind of furniture.

    Attributes:
        name: Name in SQA3D's questions.
        plural: Plural of the name.
        width_m: Minimum and maximum width.
        depth_m: Minimum and maximum depth.
        height_m: Minimum and maximum height.
        build: Returns the parts for a width, depth and height.
        most: Maximum number of items in a room.
        on_floor: False if it hangs on a wall.
        colored: Whether its points show its colour; those of a window are mostly its pane.
    """

    name: str
    plural: str
    width_m: tuple[float, float]
    depth_m: tuple[float, float]
    height_m: tuple[float, float]
    build: Build
    most: int = 1
    on_floor: bool = True
    colored: bool = True

    @property
    def nyu40(self) -> int:
        """NYU40 class."""
        return NYU40.index(self.name)


def _span(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float, brightness: float = 1.0) -> Part:
    return Part((x0, y0, z0), (x1, y1, z1), brightness)


def _legs(w: float, d: float, h: float, thick: float) -> list[Part]:
    corners = [(x, y) for x in (-w / 2, w / 2 - thick) for y in (0.0, d - thick)]
    return [_span(x, x + thick, y, y + thick, 0.0, h, 0.9) for x, y in corners]


def _bed(w: float, d: float, h: float) -> list[Part]:
    pillow = _span(-0.35 * w, 0.35 * w, 0.15, 0.5, h, h + 0.1, 1.15)
    return [
        _span(-w / 2, w / 2, 0.0, 0.08, 0.0, h + 0.5, 0.9),
        _span(-w / 2, w / 2, 0.08, d, 0.0, 0.6 * h, 0.85),
        _span(-w / 2, w / 2, 0.08, d, 0.6 * h, h),
        pillow,
    ]


def _table(w: float, d: float, h: float) -> list[Part]:
    return [_span(-w / 2, w / 2, 0.0, d, h - 0.05, h), *_legs(w, d, h - 0.05, 0.07)]


def _desk(w: float, d: float, h: float) -> list[Part]:
    drawers = _span(w / 2 - 0.4, w / 2, 0.0, d - 0.05, 0.05, h - 0.04, 0.85)
    side = _span(-w / 2, -w / 2 + 0.04, 0.0, d, 0.0, h - 0.04, 0.85)
    back = _span(-w / 2, w / 2, 0.0, 0.03, 0.3, h - 0.04, 0.8)
    return [_span(-w / 2, w / 2, 0.0, d, h - 0.04, h), drawers, side, back]


def _chair(w: float, d: float, h: float) -> list[Part]:
    seat = _span(-w / 2, w / 2, 0.0, d, 0.42, 0.48)
    return [seat, _span(-w / 2, w / 2, 0.0, 0.06, 0.48, h), *_legs(w, d, 0.42, 0.05)]


def _sofa(w: float, d: float, h: float) -> list[Part]:
    arms = [_span(x, x + 0.2, 0.0, d, 0.0, 0.62, 0.9) for x in (-w / 2, w / 2 - 0.2)]
    return [_span(-w / 2 + 0.2, w / 2 - 0.2, 0.0, d, 0.0, 0.42), _span(-w / 2, w / 2, 0.0, 0.25, 0.42, h, 0.9), *arms]


def _cabinet(w: float, d: float, h: float) -> list[Part]:
    handles = [_span(x, x + 0.03, d, d + 0.03, 0.45 * h, 0.6 * h, 0.5) for x in (-0.06, 0.03)]
    return [_span(-w / 2, w / 2, 0.0, d, 0.0, h), *handles]


def _bookshelf(w: float, d: float, h: float) -> list[Part]:
    boards = [_span(-w / 2, w / 2, 0.0, d, z, z + 0.03) for z in np.linspace(0.0, h - 0.03, 5).tolist()]
    sides = [_span(x, x + 0.03, 0.0, d, 0.0, h, 0.9) for x in (-w / 2, w / 2 - 0.03)]
    return [*boards, *sides, _span(-w / 2, w / 2, 0.0, 0.02, 0.0, h, 0.85)]


def _refrigerator(w: float, d: float, h: float) -> list[Part]:
    doors = [_span(-w / 2, w / 2, d - 0.03, d, z0, z1) for z0, z1 in ((0.05, 0.64 * h), (0.66 * h, h))]
    handle = _span(w / 2 - 0.1, w / 2 - 0.06, d, d + 0.05, 0.4 * h, 0.85 * h, 0.6)
    return [_span(-w / 2, w / 2, 0.0, d - 0.03, 0.0, h, 0.9), *doors, handle]


def _toilet(w: float, d: float, h: float) -> list[Part]:
    bowl, seat = _span(-w / 2, w / 2, 0.2, d, 0.15, 0.4), _span(-w / 2, w / 2, 0.2, d, 0.4, 0.43, 0.9)
    return [_span(-w / 4, w / 4, 0.15, d - 0.15, 0.0, 0.15, 0.9), bowl, seat, _span(-w / 2, w / 2, 0.0, 0.2, 0.35, h)]


def _bathtub(w: float, d: float, h: float) -> list[Part]:
    sides = [_span(x, x + 0.08, 0.0, d, 0.0, h) for x in (-w / 2, w / 2 - 0.08)]
    ends = [_span(-w / 2, w / 2, y, y + 0.08, 0.0, h) for y in (0.0, d - 0.08)]
    return [_span(-w / 2, w / 2, 0.0, d, 0.0, 0.12, 0.85), *sides, *ends]


def _sink(w: float, d: float, h: float) -> list[Part]:
    pedestal = _span(-0.1, 0.1, 0.05, 0.25, 0.0, h - 0.15, 0.85)
    tap = _span(-0.02, 0.02, 0.03, 0.15, h, h + 0.15, 0.6)
    return [pedestal, _span(-w / 2, w / 2, 0.0, d, h - 0.15, h), tap]


def _lamp(w: float, d: float, h: float) -> list[Part]:
    pole = _span(-0.02, 0.02, d / 2 - 0.02, d / 2 + 0.02, 0.03, h - 0.3, 0.7)
    foot = _span(-0.6 * w / 2, 0.6 * w / 2, 0.2 * d, 0.8 * d, 0.0, 0.03, 0.7)
    return [foot, pole, _span(-w / 2, w / 2, 0.0, d, h - 0.3, h)]


def _door(w: float, d: float, h: float) -> list[Part]:
    return [_span(-w / 2, w / 2, 0.0, d, 0.0, h), _span(w / 2 - 0.14, w / 2 - 0.06, d, d + 0.05, 1.0, 1.05, 0.4)]


def _window(w: float, d: float, h: float) -> list[Part]:
    low = 0.9
    bars = [_span(x, x + 0.07, 0.0, d, low, low + h) for x in (-w / 2, -0.035, w / 2 - 0.07)]
    return [*bars, *(_span(-w / 2, w / 2, 0.0, d, z, z + 0.07) for z in (low, low + h - 0.07))]


def _curtain(w: float, d: float, h: float) -> list[Part]:
    fold = w / 8
    return [
        _span(-w / 2 + i * fold, -w / 2 + (i + 1) * fold, 0.0, d if i % 2 else 0.6 * d, 0.15, h, 1.0 if i % 2 else 0.85)
        for i in range(8)
    ]


_hanging = partial(Kind, on_floor=False)

KINDS = (
    Kind("bed", "beds", (1.0, 1.7), (1.9, 2.1), (0.45, 0.6), _bed),
    Kind("sofa", "sofas", (1.5, 2.1), (0.8, 0.95), (0.8, 0.95), _sofa),
    Kind("table", "tables", (0.9, 1.4), (0.7, 0.9), (0.45, 0.78), _table, most=2),
    Kind("desk", "desks", (1.1, 1.5), (0.6, 0.75), (0.72, 0.78), _desk),
    Kind("chair", "chairs", (0.42, 0.52), (0.45, 0.55), (0.85, 1.0), _chair, most=4),
    Kind("cabinet", "cabinets", (0.6, 1.0), (0.4, 0.55), (0.8, 1.2), _cabinet, most=3),
    Kind("bookshelf", "bookshelves", (0.8, 1.2), (0.28, 0.35), (1.6, 2.1), _bookshelf),
    Kind("refrigerator", "refrigerators", (0.6, 0.8), (0.6, 0.7), (1.6, 1.9), _refrigerator),
    Kind("toilet", "toilets", (0.36, 0.42), (0.62, 0.72), (0.75, 0.85), _toilet),
    Kind("bathtub", "bathtubs", (1.5, 1.7), (0.7, 0.8), (0.5, 0.6), _bathtub),
    Kind("sink", "sinks", (0.5, 0.65), (0.42, 0.5), (0.82, 0.9), _sink),
    Kind("lamp", "lamps", (0.3, 0.4), (0.3, 0.4), (1.3, 1.7), _lamp, most=3),
    _hanging("door", "doors", (0.85, 1.0), (0.04, 0.06), (1.95, 2.1), _door, most=2),
    _hanging("window", "windows", (0.9, 1.5), (0.05, 0.08), (0.9, 1.2), _window, most=3, colored=False),
    _hanging("curtain", "curtains", (0.9, 1.4), (0.1, 0.14), (2.1, 2.3), _curtain, most=2),
)
