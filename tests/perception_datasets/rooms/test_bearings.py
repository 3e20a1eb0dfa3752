import numpy as np
import pytest

from perception_datasets.rooms.bearings import Direction, bearing, whereabouts
from perception_datasets.rooms.furniture import KINDS
from perception_datasets.rooms.layout import Item

LAMP = next(kind for kind in KINDS if kind.name == "lamp")
HERE = np.zeros(2)


def lamp_at(degrees: float, distance: float = 3.0) -> Item:
    x, y = distance * np.cos(np.deg2rad(degrees)), distance * np.sin(np.deg2rad(degrees))
    return Item(LAMP, "red", (0.3, 0.3, 1.5), (x, y - 0.15), quarter_turns=0)


@pytest.mark.parametrize("heading", [0.0, 40.0, 170.0])
@pytest.mark.parametrize("direction", Direction)
def test_an_item_straight_in_one_direction_is_in_no_other(direction: Direction, heading: float) -> None:
    found = whereabouts(lamp_at(heading + 90 * direction), HERE, np.deg2rad(heading))
    assert found == tuple(d is direction for d in Direction)


def test_an_item_between_two_directions_is_ambiguous() -> None:
    assert whereabouts(lamp_at(45), HERE, 0.0) == (None, None, False, False)


def test_the_direction_of_a_near_and_wide_item_is_ambiguous() -> None:
    bed = Item(KINDS[0], "red", (1.7, 2.0, 0.5), (0.0, 0.3), quarter_turns=0)
    assert whereabouts(bed, HERE, 0.0)[Direction.LEFT] is None


def test_left_is_counter_clockwise() -> None:
    assert bearing(HERE, np.array([0.0, 2.0])) == pytest.approx(np.pi / 2)
    assert whereabouts(lamp_at(90), HERE, 0.0)[Direction.LEFT]
