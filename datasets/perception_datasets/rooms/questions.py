"""Questions about a generated room from a standpoint in it, without those that people might answer differently.

No question is about a kind of furniture that the situation mentions, because its words would reveal the answer.
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
"""Minimum difference in distance for a question about which item is closer."""
WITHIN_REACH_M = 0.6
OUT_OF_REACH_M = 1.2
STEPS_M = 2.0
"""Distance of the questions about walking; the free way differs from it by at least half of `MARGIN_M`."""


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question with its only answer.

    Attributes:
        question: Text of the question.
        answer: Answer, a word of SQA3D's dictionary.
        group: Group of questions whose answers are balanced (`balance`): the question without the words on which its
            answer should not depend.
    """

    question: str
    answer: str
    group: str


@dataclass(frozen=True)
class Observer:
    """Somebody at a standpoint in a room."""

    room: Room
    standpoint: Standpoint

    def kinds(self) -> list[list[Item]]:
        """Returns the items of each kind that the situation does not mention."""
        names = dict.fromkeys(item.kind.name for item in self.room.items)
        return [self.room.of_kind(name) for name in names if name not in self.standpoint.mentioned]

    @cached_property
    def _whereabouts(self) -> dict[Item, tuple[bool | None, ...]]:
        position, heading_rad = self.standpoint.position, self.standpoint.heading_rad
        return {item: whereabouts(item, position, heading_rad) for item in self.room.items}

    def lies(self, item: Item, direction: Direction) -> bool | None:
        """Returns whether an item lies in a direction; None if it is ambiguous."""
        return self._whereabouts[item][direction]

    def distance(self, item: Item) -> float:
        """Returns the distance from the standpoint to an item, metres."""
        return float(item.distance(self.standpoint.position))


Family = Callable[[Observer, np.random.Generator], Iterator[AnsweredQuestion]]


def is_there(observer: Observer, rng: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "Is there a chair behind me?"."""
    for items in observer.kinds():
        where = [d for d in Direction if any(observer.lies(item, d) for item in items)]
        where_not = [d for d in Direction if all(observer.lies(item, d) is False for item in items)]
        if where and where_not:  # ask either or neither, so that the kind of item does not reveal the answer
            answer, directions = ("yes", where) if rng.random() < 0.5 else ("no", where_not)
            direction = WORDS[directions[rng.integers(len(directions))]]
            yield AnsweredQuestion(f"Is there a {items[0].kind.name} {direction}?", answer, f"is there {direction}")


def is_in_room(observer: Observer, rng: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "Is there a toilet in the room?"."""
    present = [items[0].kind.name for items in observer.kinds()]
    absent = [kind.name for kind in KINDS if not observer.room.of_kind(kind.name)]
    answer, names = ("yes", present) if rng.random() < 0.5 else ("no", absent)
    if names:
        yield AnsweredQuestion(
            f"Is there a {names[rng.integers(len(names))]} in the room?", answer, "is there in the room"
        )


def which_way(observer: Observer, _: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "Which direction should I go if I want to get to the lamp?"."""
    for items in observer.kinds():
        for direction in Direction:
            if len(items) == 1 and observer.lies(items[0], direction):
                question = f"Which direction should I go if I want to get to the {items[0].kind.name}?"
                yield AnsweredQuestion(question, WAYS[direction], "which way")


def what_color(observer: Observer, _: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "What color is the chair on my left?"."""
    for items in observer.kinds():
        for direction in Direction:
            there = [observer.lies(item, direction) for item in items]
            if items[0].kind.colored and there.count(True) == 1 and None not in there:
                item = items[there.index(True)]
                yield AnsweredQuestion(
                    f"What color is the {item.kind.name} {WORDS[direction]}?", item.color, "what color"
                )


def what_is_closest(observer: Observer, _: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "What is the closest thing on my left?"."""
    for direction in Direction:
        there = sorted(
            (i for i in observer.room.items if observer.lies(i, direction) is not False), key=observer.distance
        )
        if not there or there[0].kind.name in observer.standpoint.mentioned or not observer.lies(there[0], direction):
            continue
        if len(there) == 1 or observer.distance(there[1]) - observer.distance(there[0]) > MARGIN_M:
            question = f"What is the closest thing {WORDS[direction]}?"
            yield AnsweredQuestion(question, there[0].kind.name, question)


def which_is_closer(observer: Observer, rng: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "Which one is closer to me, the chair or the table?"."""
    single = [items[0] for items in observer.kinds() if len(items) == 1]
    for one, other in zip(single[::2], single[1::2], strict=False):
        if abs(observer.distance(one) - observer.distance(other)) > MARGIN_M:
            first, second = (one, other) if rng.random() < 0.5 else (other, one)
            question = f"Which one is closer to me, the {first.kind.name} or the {second.kind.name}?"
            names = " ".join(sorted((first.kind.name, second.kind.name)))
            yield AnsweredQuestion(
                question, min(one, other, key=observer.distance).kind.name, f"which is closer {names}"
            )


def how_many(observer: Observer, _: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "How many chairs are behind me?"."""
    for items in observer.kinds():
        if items[0].kind.most == 1:
            continue
        yield AnsweredQuestion(f"How many {items[0].kind.plural} are in the room?", NUMBERS[len(items)], "how many")
        for direction in Direction:
            there = [observer.lies(item, direction) for item in items]
            if len(items) > 1 and None not in there:
                question = f"How many {items[0].kind.plural} are {WORDS[direction]}?"
                yield AnsweredQuestion(question, NUMBERS[there.count(True)], f"how many {WORDS[direction]}")


def can_i_reach(observer: Observer, _: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "Can I reach the lamp without taking a step?"."""
    for items in observer.kinds():
        distance = min(map(observer.distance, items))
        if distance < WITHIN_REACH_M or distance > OUT_OF_REACH_M:
            answer = "yes" if distance < WITHIN_REACH_M else "no"
            yield AnsweredQuestion(f"Can I reach a {items[0].kind.name} without taking a step?", answer, "can I reach")


def can_i_walk(observer: Observer, _: np.random.Generator) -> Iterator[AnsweredQuestion]:
    """Yields questions such as "Can I walk two meters forward?"."""
    for direction, way in WAYS.items():
        free = _free_way(observer, direction)
        if direction is not observer.standpoint.side and abs(free - STEPS_M) > MARGIN_M / 2:
            question = f"Can I walk two meters {f'to the {way}' if way in ('left', 'right') else way}?"
            yield AnsweredQuestion(question, "yes" if free > STEPS_M else "no", question)


def _free_way(observer: Observer, direction: Direction) -> float:
    """Returns how far somebody 0.5 m wide can walk before a wall or an item, in metres."""
    angle = observer.standpoint.heading_rad + direction * np.pi / 2
    ways = np.arange(0.0, 4.0, 0.05)
    points = observer.standpoint.position + ways[:, None] * np.array([np.cos(angle), np.sin(angle)])
    blocked = (np.abs(points) > np.array(observer.room.size[:2]) / 2 - 0.1).any(axis=1)
    for item in observer.room.items:
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
"""Families of questions, with the maximum number of questions of each per standpoint."""


def ask(room: Room, standpoint: Standpoint, rng: np.random.Generator) -> list[AnsweredQuestion]:
    """Returns questions of all families from one standpoint."""
    observer = Observer(room, standpoint)
    chosen: list[AnsweredQuestion] = []
    for family, most in FAMILIES:
        possible = list(family(observer, rng))
        chosen += [possible[i] for i in rng.permutation(len(possible))[:most]]
    return chosen
