import re

import numpy as np
import pytest

from perception_datasets.rooms import questions
from perception_datasets.rooms.bearings import Direction
from perception_datasets.rooms.furniture import KINDS
from perception_datasets.rooms.layout import Item, Room, make_room
from perception_datasets.rooms.questions import FAMILIES, Observer, ask
from perception_datasets.rooms.viewpoints import Standpoint, find_standpoints
from perception_datasets.rooms.writer import ANSWERS

KIND = {kind.name: kind for kind in KINDS}


def item(kind: str, color: str, x: float, y: float) -> Item:
    depth = KIND[kind].depth_m[0]
    return Item(KIND[kind], color, (KIND[kind].width_m[0], depth, KIND[kind].height_m[0]), (x, y - depth / 2), 0)


@pytest.fixture
def observer() -> Observer:
    """Somebody at the origin who looks along x: a door is ahead, a desk behind within reach, other items around."""
    door, desk = item("door", "white", 2.9, 0.0), item("desk", "brown", -1.2, 0.0)
    around = [
        item("chair", "red", 0.0, 2.0),
        item("chair", "blue", 0.3, -1.5),
        item("lamp", "green", 0.0, 2.8),
        item("sink", "black", 2.0, 0.2),
        item("toilet", "white", 0.0, -2.7),
    ]
    standpoint = Standpoint(np.zeros(2), 0.0, desk, Direction.BACK, door)
    return Observer(Room((6.0, 6.0, 2.5), (door, desk, *around)), standpoint)


def answers(family: questions.Family, observer: Observer) -> dict[str, str]:
    return {question.question: question.answer for question in family(observer, np.random.default_rng(0))}


def test_answers_follow_from_where_items_are(observer: Observer) -> None:
    assert answers(questions.what_color, observer) == {
        "What color is the chair on my left?": "red",
        "What color is the chair on my right?": "blue",
        "What color is the lamp on my left?": "green",
        "What color is the toilet on my right?": "white",
        "What color is the sink in front of me?": "black",
    }
    assert answers(questions.which_way, observer) == {
        "Which direction should I go if I want to get to the lamp?": "left",
        "Which direction should I go if I want to get to the toilet?": "right",
        "Which direction should I go if I want to get to the sink?": "forward",
    }
    assert answers(questions.what_is_closest, observer) == {
        "What is the closest thing on my left?": "chair",
        "What is the closest thing on my right?": "chair",
        "What is the closest thing in front of me?": "sink",
    }
    assert answers(questions.how_many, observer) == {
        "How many chairs are in the room?": "two",
        "How many chairs are in front of me?": "zero",
        "How many chairs are on my left?": "one",
        "How many chairs are behind me?": "zero",
        "How many chairs are on my right?": "one",
        "How many lamps are in the room?": "one",
    }
    assert answers(questions.can_i_reach, observer) == {
        f"Can I reach a {kind} without taking a step?": "no" for kind in ("lamp", "toilet", "sink", "chair")
    }
    assert answers(questions.can_i_walk, observer) == {
        "Can I walk two meters forward?": "no",
        "Can I walk two meters to the left?": "no",
        "Can I walk two meters to the right?": "no",
    }
    (closer,) = answers(questions.which_is_closer, observer).items()
    assert closer[1] == "sink"


def test_questions_about_a_direction_ask_where_an_item_is_and_where_it_is_not(observer: Observer) -> None:
    where = {"lamp": "on my left", "toilet": "on my right", "sink": "in front of me"}
    seen = set()
    for seed in range(30):
        for question in questions.is_there(observer, np.random.default_rng(seed)):
            kind = question.question.split()[3]
            if kind in where:
                assert (where[kind] in question.question) == (question.answer == "yes")
                seen.add(question.answer)
    assert seen == {"yes", "no"}


def test_questions_about_the_room_ask_for_present_and_absent_items(observer: Observer) -> None:
    seen = set()
    for seed in range(30):
        (question,) = questions.is_in_room(observer, np.random.default_rng(seed))
        assert (question.answer == "yes") == bool(observer.room.of_kind(question.question.split()[3]))
        seen.add(question.answer)
    assert seen == {"yes", "no"}


@pytest.mark.parametrize("seed", range(8))
def test_no_question_is_about_what_the_situation_mentions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    room = make_room(rng)
    for standpoint in find_standpoints(room, 4, rng):
        for question in ask(room, standpoint, rng):
            words = {*re.findall("[a-z]+", question.question), question.answer}
            plurals = {KIND[name].plural for name in standpoint.mentioned}
            assert not words & (standpoint.mentioned | plurals)
            assert question.answer in ANSWERS


def test_every_family_asks_something() -> None:
    families = set()
    for seed in range(10):
        rng = np.random.default_rng(seed)
        room = make_room(rng)
        for standpoint in find_standpoints(room, 4, rng):
            families |= {family for family, _ in FAMILIES if next(family(Observer(room, standpoint), rng), None)}
    assert families == {family for family, _ in FAMILIES}
