"""Small lanelet2 maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.lanelet2_map import MapWriter


@pytest.fixture
def osm() -> MapWriter:
    """Writes a map with local coordinates."""
    return MapWriter()


@pytest.fixture
def osm_in_degrees() -> MapWriter:
    """Writes a map with latitudes (as y) and longitudes (as x) alone."""
    return MapWriter(degrees=True)


@pytest.fixture(scope="session")
def write_crossing() -> Callable[[Path], Path]:
    """Writes a small map: a road of 250 m, a left turn under a light, a bus lane, a cycle lane, two crossings."""

    def write(path: Path) -> Path:
        osm = MapWriter()
        light = osm.relation(
            [("way", "refers", osm.way([(60, 5), (60, 6)], type="traffic_light"))],
            type="regulatory_element",
            subtype="traffic_light",
        )
        osm.lanelet([(-250, 2), (0, 2)], [(-250, -2), (-100, -2), (0, -2)])
        osm.lanelet([(0, 2), (8, 4), (10, 10)], [(0, -2), (12, 2), (14, 10)], [light], turn_direction="left")
        osm.lanelet([(0, 6), (50, 6)], [(0, 2), (50, 2)], subtype="bus_lane")
        osm.lanelet([(0, 8), (50, 8)], [(0, 6), (50, 6)], subtype="bicycle_lane")
        osm.lanelet([(-20, -2), (-20, 8)], [(-17, -2), (-17, 8)], subtype="crosswalk")
        osm.lanelet([(0, 12), (50, 12)], [(0, 8), (50, 8)], subtype="walkway")
        osm.lanelet([(0, 12), (50, 12)], [(0, 8), (50, 8)], subtype="walkway")
        return osm.write(path)

    return write
