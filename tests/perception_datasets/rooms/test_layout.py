import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_datasets.rooms.furniture import KINDS
from perception_datasets.rooms.layout import GAP_M, Item, make_room


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_furniture_stands_inside_the_room_and_apart(seed: int) -> None:
    room = make_room(np.random.default_rng(seed))
    half = np.array(room.size[:2]) / 2
    assert len(room.items) >= 4
    for i, item in enumerate(room.items):
        assert (np.abs(item.footprint) <= half).all()
        for other in room.items[:i]:
            apart = np.maximum(item.footprint[0] - other.footprint[1], other.footprint[0] - item.footprint[1])
            assert apart.max() >= GAP_M


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_items_on_a_wall_touch_it_with_their_backs(seed: int) -> None:
    room = make_room(np.random.default_rng(seed))
    for item in room.items:
        if not item.kind.on_floor:
            back = item.to_room(np.zeros((1, 2)))[0]
            assert (np.array(room.size[:2]) / 2 - np.abs(back)).min() < 0.03


def test_the_same_seed_makes_the_same_room() -> None:
    one, other = (make_room(np.random.default_rng(5)) for _ in range(2))
    assert [(i.kind.name, i.color, i.origin) for i in one.items] == [
        (i.kind.name, i.color, i.origin) for i in other.items
    ]


def test_a_turned_item_faces_another_way() -> None:
    item = Item(KINDS[0], "red", (1.0, 2.0, 0.5), (3.0, 0.0), quarter_turns=1)
    np.testing.assert_allclose(item.footprint, [[1.0, -0.5], [3.0, 0.5]])
    np.testing.assert_allclose(item.distance(np.array([[0.0, 0.0], [2.0, 0.1], [4.0, 1.5]])), [1.0, 0.0, np.sqrt(2)])
