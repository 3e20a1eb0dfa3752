"""Standpoints in a generated room: beside one item and facing another, so that a description determines the place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from perception_datasets.rooms.bearings import Direction, bearing
from perception_datasets.rooms.layout import Item, Room

CLEARANCE_M = 0.25
SIDES = (Direction.LEFT, Direction.RIGHT, Direction.BACK)
_WITHIN_REACH_M = (0.25, 0.6)
_SIGHT_M = 1.0
_TALL_M = 1.2

_WORDS = {Direction.LEFT: "on my left", Direction.RIGHT: "on my right", Direction.BACK: "right behind me"}


@dataclass(frozen=True)
class Standpoint:
    """A place and a direction of view in a room, described by two items.

    Attributes:
        position: Position on the floor in the room frame, metres.
        heading_rad: Direction of view, counter-clockwise from x.
        anchor: Item within reach.
        side: Direction of the anchor's centre: exactly 90° to the left or right, or behind.
        faced: Item straight ahead.
    """

    position: Float64[np.ndarray, " 2"]
    heading_rad: float
    anchor: Item
    side: Direction
    faced: Item

    @property
    def mentioned(self) -> set[str]:
        """Kinds that the description mentions; questions avoid them."""
        return {self.anchor.kind.name, self.faced.kind.name}


def describe(standpoint: Standpoint, room: Room) -> list[str]:
    """Returns three descriptions of the place."""
    anchor, faced = name(standpoint.anchor, room), name(standpoint.faced, room)
    side = _WORDS[standpoint.side]
    return [
        f"I am facing the {faced} and there is a {anchor} {side} within reach.",
        f"The {anchor} is {side}, close enough to touch, while I look straight at the {faced}.",
        f"I am standing by the {anchor}, which is {side}, and looking at the {faced}.",
    ]


def name(item: Item, room: Room) -> str | None:
    """Returns a name that no other item in the room fits; None if neither kind nor colour is unique."""
    alike = room.of_kind(item.kind.name)
    if len(alike) == 1:
        return item.kind.name
    if item.kind.colored and [other.color for other in alike].count(item.color) == 1:
        return f"{item.color} {item.kind.name}"
    return None


def find_standpoints(room: Room, most: int, rng: np.random.Generator) -> list[Standpoint]:
    """Returns up to `most` standpoints, each with different items or another side."""
    named = [item for item in room.items if name(item, room)]
    pairs = [(a, f, s) for a in named for f in named if a is not f and a.kind is not f.kind for s in SIDES]
    found: list[Standpoint] = []
    for i in rng.permutation(len(pairs)):
        if len(found) == most:
            break
        standpoint = _stand(room, *pairs[i])
        if standpoint is not None:
            found.append(standpoint)
    return found


def _stand(room: Room, anchor: Item, faced: Item, side: Direction) -> Standpoint | None:
    """Returns the place with the anchor exactly at `side` and the faced item straight ahead; None if it is impossible.

    For a side of left or right it is on the circle with anchor and faced item as diameter (Thales' theorem); for behind
    it is on the line through both.
    """
    line = faced.center - anchor.center
    length = float(np.linalg.norm(line))
    ahead, leftwards = line / length, np.array([-line[1], line[0]]) / length
    for reach in np.arange(0.3, 1.8, 0.05):
        if reach > length - _SIGHT_M:
            return None
        if side is Direction.BACK:
            position = anchor.center + reach * ahead
        else:
            along = reach**2 / length
            across = np.sqrt(reach**2 - along**2) * (-1 if side is Direction.LEFT else 1)
            position = anchor.center + along * ahead + across * leftwards
        if anchor.distance(position) >= _WITHIN_REACH_M[0]:
            standpoint = Standpoint(position, bearing(position, faced.center), anchor, side, faced)
            return standpoint if _is_possible(room, standpoint) else None
    return None


def _is_possible(room: Room, standpoint: Standpoint) -> bool:
    """Returns whether there is room to stand, the anchor is the closest item, and no tall item hides the faced one."""
    position, faced, reach = standpoint.position, standpoint.faced, standpoint.anchor.distance(standpoint.position)
    others = [item for item in room.items if item is not standpoint.anchor]
    to_wall = np.array(room.size[:2]) / 2 - np.abs(position)
    if to_wall.min() < CLEARANCE_M or reach > _WITHIN_REACH_M[1]:
        return False
    if any(item.distance(position) < max(CLEARANCE_M, reach) for item in others):
        return False
    sight = position + np.linspace(0, 1, 30)[:, None] * (faced.center - position)
    tall = [item for item in others if item is not faced and item.size[2] > _TALL_M and item.kind.on_floor]
    return not any((item.distance(sight) == 0).any() for item in tall)
