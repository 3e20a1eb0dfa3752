"""Questions about a made room, asked from a standpoint in it; none is asked that people might answer differently.

No question is about a kind of thing that the situation mentions, so the words alone give nothing away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from perception_datasets.rooms.bearings import Direction, whereabouts
from perception_datasets.rooms.furniture import KINDS
from perception_datasets.rooms.layout import Item, Room
from perception_datasets.rooms.viewpoints import Standpoint

NUMBERS = ("zero", "one", "two", "three", "four")
WORDS = {
    Direction.FRONT: "in front of me",
    Direction.LEFT: "on my left",
    Direction.BACK: "behind me",
    Direction.RIGHT: "on my right",
}
WAYS = {Direction.FRONT: "forward", Direction.LEFT: "left", Direction.BACK: "backward", Direction.RIGHT: "right"}

MARGIN_M = 0.5
"""By so much one thing must be closer than another for a question to ask which is."""
WITHIN_REACH_M = 0.6
OUT_OF_REACH_M = 1.2
STEPS_M = 2.0
"""What two large steps need; with `MARGIN_M` to spare, or lacking."""


@dataclass(frozen=True)
class Asked:
    """A question and its one answer.

    Attributes:
        question: In words.
        answer: As SQA3D writes it: a word of its dictionary.
        alike: The question with what its answer must not hang on left out. Among questions with the same words here, no
            answer should stand out (`balance`).
    """

    question: str
    answer: str
    alike: str


@dataclass(frozen=True)
class View:
    """A room as somebody sees it: which things there are, by kind, and which lie where."""

    room: Room
    standpoint: Standpoint

    def kinds(self) -> list[list[Item]]:
        """The items of each kind that the situation does not mention."""
        names = dict.fromkeys(item.kind.name for item in self.room.items)
        return [self.room.of_kind(name) for name in names if name not in self.standpoint.mentioned]

    @cached_property
    def _whereabouts(self) -> dict[Item, tuple[bool | None, ...]]:
        place = self.standpoint.position, self.standpoint.heading_rad
        return {item: whereabouts(item, *place) for item in self.room.items}

    def lies(self, item: Item, direction: Direction) -> bool | None:
        """Whether an item lies in a direction; None where it is hard to say."""
        return self._whereabouts[item][direction]

    def distance(self, item: Item) -> float:
        """From the asker's feet to an item."""
        return float(item.distance(self.standpoint.position))


Family = Callable[[View, np.random.Generator], Iterator[Asked]]


def is_there(view: View, rng: np.random.Generator) -> Iterator[Asked]:
    """Is there a chair behind me?"""
    for items in view.kinds():
        where = [d for d in Direction if any(view.lies(item, d) for item in items)]
        where_not = [d for d in Direction if all(view.lies(item, d) is False for item in items)]
        if where and where_not:  # asked of both alike, or of neither: a toilet is no likelier to be there than a chair
            answer, directions = ("yes", where) if rng.random() < 0.5 else ("no", where_not)
            where_asked = WORDS[directions[rng.integers(len(directions))]]
            yield Asked(f"Is there a {items[0].kind.name} {where_asked}?", answer, f"is there {where_asked}")


def is_in_room(view: View, rng: np.random.Generator) -> Iterator[Asked]:
    """Is there a toilet in the room?"""
    present = [items[0].kind.name for items in view.kinds()]
    absent = [kind.name for kind in KINDS if not view.room.of_kind(kind.name)]
    answer, names = ("yes", present) if rng.random() < 0.5 else ("no", absent)
    if names:
        yield Asked(f"Is there a {names[rng.integers(len(names))]} in the room?", answer, "is there in the room")


def which_way(view: View, _: np.random.Generator) -> Iterator[Asked]:
    """Which direction should I go if I want to get to the lamp?"""
    for items in view.kinds():
        for direction in Direction:
            if len(items) == 1 and view.lies(items[0], direction):
                question = f"Which direction should I go if I want to get to the {items[0].kind.name}?"
                yield Asked(question, WAYS[direction], "which way")


def what_color(view: View, _: np.random.Generator) -> Iterator[Asked]:
    """What color is the chair on my left?"""
    for items in view.kinds():
        for direction in Direction:
            there = [view.lies(item, direction) for item in items]
            if items[0].kind.colored and there.count(True) == 1 and None not in there:
                item = items[there.index(True)]
                yield Asked(f"What color is the {item.kind.name} {WORDS[direction]}?", item.color, "what color")


def what_is_closest(view: View, _: np.random.Generator) -> Iterator[Asked]:
    """What is the closest thing on my left?"""
    for direction in Direction:
        there = sorted((i for i in view.room.items if view.lies(i, direction) is not False), key=view.distance)
        if not there or there[0].kind.name in view.standpoint.mentioned or not view.lies(there[0], direction):
            continue
        if len(there) == 1 or view.distance(there[1]) - view.distance(there[0]) > MARGIN_M:
            question = f"What is the closest thing {WORDS[direction]}?"
            yield Asked(question, there[0].kind.name, question)


def which_is_closer(view: View, rng: np.random.Generator) -> Iterator[Asked]:
    """Which one is closer to me, the chair or the table?"""
    single = [items[0] for items in view.kinds() if len(items) == 1]
    for one, other in zip(single[::2], single[1::2], strict=False):
        if abs(view.distance(one) - view.distance(other)) > MARGIN_M:
            first, second = (one, other) if rng.random() < 0.5 else (other, one)
            question = f"Which one is closer to me, the {first.kind.name} or the {second.kind.name}?"
            names = " ".join(sorted((first.kind.name, second.kind.name)))
            yield Asked(question, min(one, other, key=view.distance).kind.name, f"which is closer {names}")


def how_many(view: View, _: np.random.Generator) -> Iterator[Asked]:
    """How many chairs are in the room? How many are behind me?"""
    for items in view.kinds():
        if items[0].kind.most == 1:
            continue
        yield Asked(f"How many {items[0].kind.plural} are in the room?", NUMBERS[len(items)], "how many")
        for direction in Direction:
            there = [view.lies(item, direction) for item in items]
            if len(items) > 1 and None not in there:
                question = f"How many {items[0].kind.plural} are {WORDS[direction]}?"
                yield Asked(question, NUMBERS[there.count(True)], f"how many {WORDS[direction]}")


def can_i_reach(view: View, _: np.random.Generator) -> Iterator[Asked]:
    """Can I reach the lamp without taking a step?"""
    for items in view.kinds():
        distance = min(map(view.distance, items))
        if distance < WITHIN_REACH_M or distance > OUT_OF_REACH_M:
            answer = "yes" if distance < WITHIN_REACH_M else "no"
            yield Asked(f"Can I reach a {items[0].kind.name} without taking a step?", answer, "can I reach")


def can_i_walk(view: View, _: np.random.Generator) -> Iterator[Asked]:
    """Can I walk two meters forward?"""
    for direction, way in WAYS.items():
        free = _free_way(view, direction)
        if direction is not view.standpoint.side and abs(free - STEPS_M) > MARGIN_M / 2:
            question = f"Can I walk two meters {f'to the {way}' if way in ('left', 'right') else way}?"
            yield Asked(question, "yes" if free > STEPS_M else "no", question)


def _free_way(view: View, direction: Direction) -> float:
    """How far somebody 0.5 m wide gets before a wall or a thing stops them, metres."""
    angle = view.standpoint.heading_rad + direction * np.pi / 2
    ways = np.arange(0.0, 4.0, 0.05)
    points = view.standpoint.position + ways[:, None] * np.array([np.cos(angle), np.sin(angle)])
    blocked = (np.abs(points) > np.array(view.room.size[:2]) / 2 - 0.1).any(axis=1)
    for item in view.room.items:
        blocked |= item.distance(points) < 0.25
    return float(ways[blocked.argmax()]) if blocked.any() else float(ways[-1])


FAMILIES: tuple[tuple[Family, int], ...] = (
    (is_there, 2),
    (is_in_room, 1),
    (which_way, 2),
    (what_color, 2),
    (what_is_closest, 2),
    (which_is_closer, 1),
    (how_many, 2),
    (can_i_reach, 2),
    (can_i_walk, 1),
)
"""And how many questions of each a standpoint is asked at most."""


def ask(room: Room, standpoint: Standpoint, rng: np.random.Generator) -> list[Asked]:
    """Questions of every family from one standpoint."""
    view = View(room, standpoint)
    asked: list[Asked] = []
    for family, most in FAMILIES:
        possible = list(family(view, rng))
        asked += [possible[i] for i in rng.permutation(len(possible))[:most]]
    return asked
