"""Random rooms and the placement of their furniture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from perception_datasets.rooms.furniture import COLORS, KINDS, Kind

GAP_M = 0.12
"""Minimum distance between two items, so that their points are separate."""
KINDS_IN_ROOM = (6, 9)
_TRIES = 40


@dataclass(frozen=True, eq=False)
class Item:
    """A piece of furniture in the room frame.

    Attributes:
        kind: Kind of furniture.
        color: Name of its colour.
        size: Width, depth and height, metres.
        origin: Position of the middle of its back on the floor.
        quarter_turns: Number of counter-clockwise quarter turns; with 0 it faces +y.
    """

    kind: Kind
    color: str
    size: tuple[float, float, float]
    origin: tuple[float, float]
    quarter_turns: int

    @cached_property
    def footprint(self) -> Float64[np.ndarray, "2 2"]:
        """Minimum and maximum x, y."""
        w, d, _ = self.size
        return np.sort(self.to_room(np.array([[-w / 2, 0.0], [w / 2, d]])), axis=0)

    @property
    def center(self) -> Float64[np.ndarray, " 2"]:
        """Centre of the footprint."""
        return self.footprint.mean(axis=0)

    def to_room(self, points: Float64[np.ndarray, "points 2"]) -> Float64[np.ndarray, "points 2"]:
        """Transforms floor points from the item's frame to the room frame."""
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.quarter_turns]
        return points @ np.array([[cos, sin], [-sin, cos]], dtype=np.float64) + np.array(self.origin)

    def distance(self, points: Float64[np.ndarray, "*points 2"]) -> Float64[np.ndarray, "*points"]:
        """Returns the distance on the floor from points to the footprint; 0 inside."""
        low, high = self.footprint
        return np.asarray(np.linalg.norm(np.maximum(np.maximum(low - points, points - high), 0.0), axis=-1))


@dataclass(frozen=True)
class Room:
    """An axis-aligned room, its floor at z = 0 around the origin.

    Attributes:
        size: Extent along x, y and z, metres.
        items: Furniture; items do not overlap.
    """

    size: tuple[float, float, float]
    items: tuple[Item, ...]

    def of_kind(self, name: str) -> list[Item]:
        """Returns all items of a kind."""
        return [item for item in self.items if item.kind.name == name]


def make_room(rng: np.random.Generator) -> Room:
    """Returns a room of random size with random furniture; items that do not fit after some tries are left out."""
    size = (rng.uniform(4.5, 7.0), rng.uniform(4.5, 6.5), rng.uniform(2.4, 2.7))
    chosen = rng.choice(len(KINDS), int(rng.integers(KINDS_IN_ROOM[0], KINDS_IN_ROOM[1] + 1)), replace=False)
    items: list[Item] = []
    for kind in (KINDS[i] for i in sorted(chosen)):  # KINDS lists large items first, which are harder to place
        for _ in range(int(rng.integers(1, kind.most + 1))):
            item = _place(kind, size, items, rng)
            if item is not None:
                items.append(item)
    return Room(size, tuple(items))


def _place(kind: Kind, room: tuple[float, float, float], items: list[Item], rng: np.random.Generator) -> Item | None:
    w, d, h = (float(rng.uniform(*extent)) for extent in (kind.width_m, kind.depth_m, kind.height_m))
    color = str(rng.choice(list(COLORS)))
    for _ in range(_TRIES):
        turns = int(rng.integers(4))
        along, across = (room[0], room[1]) if turns % 2 == 0 else (room[1], room[0])
        free_standing = kind.name in ("table", "chair") and rng.random() < 0.7
        back = float(rng.uniform(0.5, across - d - 0.5)) if free_standing else 0.02
        x = float(rng.uniform(-(along - w) / 2, (along - w) / 2))
        origin = _from_wall(x, back - across / 2, turns)
        item = Item(kind, color, (w, d, h), origin, turns)
        if not any(_too_close(item, other) for other in items):
            return item
    return None


def _from_wall(x: float, y: float, turns: int) -> tuple[float, float]:
    """Rotates a point counter-clockwise by a number of quarter turns."""
    for _ in range(turns):
        x, y = -y, x
    return x, y


def _too_close(one: Item, other: Item) -> bool:
    gap = np.maximum(one.footprint[0] - other.footprint[1], other.footprint[0] - one.footprint[1])
    return bool((gap < GAP_M).all())
