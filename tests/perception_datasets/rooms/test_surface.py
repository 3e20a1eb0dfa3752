import numpy as np
import pytest

from perception.scenes.classes import NYU40
from perception_datasets.rooms.furniture import COLORS
from perception_datasets.rooms.layout import make_room
from perception_datasets.rooms.surface import FIRST_ITEM, NOISE_M, POINTS, scan_room


@pytest.mark.parametrize("seed", range(3))
def test_points_lie_on_the_items_that_they_are_labelled_as(seed: int) -> None:
    rng = np.random.default_rng(seed)
    room = make_room(rng)
    scan = scan_room(room, rng)
    assert len(scan.points) <= POINTS[1]
    for i, item in enumerate(room.items):
        own = scan.instance == FIRST_ITEM + i
        points = scan.points[own]
        assert (scan.semantic[own] == item.kind.nyu40).all()
        assert item.distance(points[:, :2]).max() < 0.06 + 4 * NOISE_M  # handles
        low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        assert np.abs(item.footprint - [low, high]).max() < 0.1
    walls = scan.points[scan.semantic == NYU40.index("wall")]
    to_wall = np.abs(np.abs(walls[:, :2]) - np.array(room.size[:2]) / 2).min(axis=1)
    assert to_wall.max() < 4 * NOISE_M
    assert np.abs(scan.points[scan.semantic == NYU40.index("floor")][:, 2]).max() < 4 * NOISE_M


@pytest.mark.parametrize("seed", range(6))
def test_the_colour_of_an_item_is_nearest_to_its_name(seed: int) -> None:
    rng = np.random.default_rng(seed)
    room = make_room(rng)
    scan = scan_room(room, rng)
    names, values = list(COLORS), np.array(list(COLORS.values()))
    for i, item in enumerate(room.items):
        if item.kind.colored:
            seen = np.median(scan.colors[scan.instance == FIRST_ITEM + i], axis=0)
            assert names[np.linalg.norm(values - seen, axis=1).argmin()] == item.color


def test_density_is_uneven() -> None:
    rng = np.random.default_rng(1)
    room = make_room(rng)
    scan = scan_room(room, rng)
    floor = scan.points[scan.semantic == NYU40.index("floor"), :2]
    counts, *_ = np.histogram2d(*floor.T, bins=5)
    assert counts.max() > 1.5 * counts.min()
