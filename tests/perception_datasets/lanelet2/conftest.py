"""Small lanelet2 maps, written as XML by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

Line = Sequence[tuple[float, float]]


class MapWriter:
    """Collects elements and writes them as .osm; `degrees` writes places as latitude and longitude alone."""

    def __init__(self, *, degrees: bool = False) -> None:
        self._degrees, self._next = degrees, 0
        self.elements: list[str] = []

    def _id(self) -> int:
        self._next += 1
        return self._next

    @staticmethod
    def _tags(tags: Mapping[str, str]) -> str:
        return "".join(f'<tag k="{key}" v="{value}"/>' for key, value in tags.items())

    def way(self, line: Line, **tags: str) -> int:
        nodes = []
        for x, y in line:
            nodes.append(self._id())
            place, local = (
                (f'lat="{y}" lon="{x}"', {}) if self._degrees else ('lat="0" lon="0"', {"local_x": x, "local_y": y})
            )
            self.elements.append(
                f'<node id="{nodes[-1]}" {place}>{self._tags({k: str(v) for k, v in local.items()})}</node>'
            )
        number = self._id()
        refs = "".join(f'<nd ref="{node}"/>' for node in nodes)
        self.elements.append(f'<way id="{number}">{refs}{self._tags(tags)}</way>')
        return number

    def relation(self, members: Sequence[tuple[str, str, int]], **tags: str) -> int:
        number = self._id()
        written = "".join(f'<member type="{kind}" role="{role}" ref="{ref}"/>' for kind, role, ref in members)
        self.elements.append(f'<relation id="{number}">{written}{self._tags(tags)}</relation>')
        return number

    def lanelet(self, left: Line, right: Line, rules: Sequence[int] = (), centreline: Line = (), **tags: str) -> int:
        members = [("way", "left", self.way(left)), ("way", "right", self.way(right))]
        members += [("way", "centerline", self.way(centreline))] if centreline else []
        members += [("relation", "regulatory_element", rule) for rule in rules]
        return self.relation(members, **{"type": "lanelet", "subtype": "road"} | tags)

    def write(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<?xml version="1.0"?>\n<osm version="0.6">{"".join(self.elements)}</osm>\n')
        return path


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
