import numpy as np
import pytest

from perception_datasets.rooms.bearings import Direction, bearing, whereabouts
from perception_datasets.rooms.furniture import KINDS
from perception_datasets.rooms.layout import Item, Room, make_room
from perception_datasets.rooms.viewpoints import CLEARANCE_M, describe, find_standpoints, name

CHAIR = next(kind for kind in KINDS if kind.name == "chair")


@pytest.mark.parametrize("seed", range(5))
def test_the_description_and_the_room_determine_the_place(seed: int) -> None:
    rng = np.random.default_rng(seed)
    room = make_room(rng)
    found = find_standpoints(room, 8, rng)
    assert found
    for s in found:
        assert s.heading_rad == pytest.approx(bearing(s.position, s.faced.center))
        off = bearing(s.position, s.anchor.center) - s.heading_rad - s.side * np.pi / 2
        assert np.cos(off) == pytest.approx(1.0)
        assert whereabouts(s.faced, s.position, s.heading_rad)[Direction.FRONT] is not False
        distances = {item: float(item.distance(s.position)) for item in room.items}
        assert min(distances.values()) >= CLEARANCE_M
        assert min(distances, key=distances.__getitem__) is s.anchor
        assert (np.abs(s.position) < np.array(room.size[:2]) / 2 - CLEARANCE_M + 1e-9).all()


@pytest.mark.parametrize("seed", range(5))
def test_every_description_names_one_item_beside_and_one_ahead(seed: int) -> None:
    rng = np.random.default_rng(seed)
    room = make_room(rng)
    for standpoint in find_standpoints(room, 8, rng):
        texts = describe(standpoint, room)
        assert len(set(texts)) == 3
        for text in texts:
            assert str(name(standpoint.anchor, room)) in text
            assert str(name(standpoint.faced, room)) in text
            assert {Direction.LEFT: "left", Direction.RIGHT: "right", Direction.BACK: "behind"}[standpoint.side] in text


def test_items_of_one_kind_are_named_by_a_unique_colour_or_not_at_all() -> None:
    items = tuple(Item(CHAIR, c, (0.5, 0.5, 0.9), (float(i), 0.0), 0) for i, c in enumerate(["red", "red", "blue"]))
    room = Room((6.0, 6.0, 2.5), items)
    assert [name(item, room) for item in items] == [None, None, "blue chair"]
    assert name(items[0], Room(room.size, items[:1])) == "chair"
