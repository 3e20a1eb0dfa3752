"""Reader of Argoverse 2's vector maps: `log_map_archive_*.json`, one per scenario or sensor log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import COORDINATE_LIMIT_M, MapPolylines, PolylineKind, Turn
from perception_datasets.argoverse.polylines import POLYLINE_POINTS, concatenate, resample
from perception_datasets.argoverse.table_files import check_file_size
from perception_datasets.errors import RecordError, bad_file, reading

MAP_CURE = "extract the scenario's folder again from Argoverse 2's archive"

_MAX_BYTES = 16 << 20
"""The largest map of the three logs at hand has 0.2 MB; as Python objects, a file takes ten times its size."""

_LANE_KINDS = {
    "VEHICLE": PolylineKind.VEHICLE_LANE,
    "BIKE": PolylineKind.BIKE_LANE,
    "BUS": PolylineKind.BUS_LANE,
}
_BOOLEANS = {True: True, False: False}
Choice = TypeVar("Choice")


def read_map(path: Path) -> MapIndex:
    """Reads a map file: all lane segments, then all pedestrian crossings.

    A lane is its stored centerline, or the middle of its two boundaries if it has none (those in the maps of sensor
    logs have none). A crossing is its axis, the middle of its two edges.
    """
    with reading(path, MAP_CURE):
        check_file_size(path, MAP_CURE, _MAX_BYTES)
        archive = json.loads(path.read_bytes())
        lanes = _elements(path, archive, "lane_segments", "lane")
        crossings = _elements(path, archive, "pedestrian_crossings", "crossing")
        return MapIndex(concatenate([_lane_polylines(lanes), _crossing_polylines(crossings)]))


@dataclass(frozen=True)
class _Element:
    """A lane segment or a pedestrian crossing, whose values are checked when they are taken.

    Attributes:
        path: The map file, for messages.
        name: What it is, for messages, such as "lane 42".
        values: Its JSON object.
    """

    path: Path
    name: str
    values: dict[str, Any]

    @property
    def id(self) -> int:
        return int(self.values["id"])

    def has(self, key: str) -> bool:
        return key in self.values

    def choose(self, key: str, choices: Mapping[Any, Choice]) -> Choice:
        """Returns what a choice stands for."""
        found = self.values.get(key)
        if not isinstance(found, str | bool) or found not in choices:
            raise self.bad(f"{key} {' or '.join(map(json.dumps, choices))}", _shortened(found))
        return choices[found]

    def line(self, key: str) -> list[tuple[Any, Any]]:
        """Returns the points of a polyline, whose coordinates are not checked yet."""
        points = self.values.get(key)
        if not isinstance(points, list) or not points:
            raise self.bad(f"a list of points called {key}", _shortened(points))
        try:
            return [(point["x"], point["y"]) for point in points]
        except (KeyError, TypeError):
            raise self.bad(f"points with x and y in {key}", "others") from None

    def bad(self, expected: str, found: str) -> RecordError:
        return bad_file(self.path, f"{self.name}: expected {expected}, found {found}", MAP_CURE)


def _elements(path: Path, archive: Any, key: str, noun: str) -> list[_Element]:
    if not isinstance(archive, dict) or not isinstance(archive.get(key), dict):
        raise bad_file(path, f"expected an object with the object {key}, found none", MAP_CURE)
    for name, values in archive[key].items():
        found = values.get("id") if isinstance(values, dict) else None
        if type(found) is not int or not 0 <= found < 2**63:
            reason = f"{noun} {name[:40]}: expected an object with a whole number as its id, found {_shortened(found)}"
            raise bad_file(path, reason, MAP_CURE)
    return [_Element(path, f"{noun} {name}", values) for name, values in archive[key].items()]


def _lane_polylines(lanes: list[_Element]) -> MapPolylines:
    points = np.zeros((len(lanes), POLYLINE_POINTS, 2))
    stored = np.array([lane.has("centerline") for lane in lanes], dtype=bool)
    points[stored] = _evenly([lane for lane in lanes if lane.has("centerline")], "centerline")
    others = [lane for lane in lanes if not lane.has("centerline")]
    points[~stored] = _middle(others, "left_lane_boundary", "right_lane_boundary")
    return MapPolylines(
        ids=np.array([lane.id for lane in lanes], dtype=np.int64),
        points=points,
        kinds=np.array([lane.choose("lane_type", _LANE_KINDS) for lane in lanes], dtype=np.int64),
        turns=np.full(len(lanes), Turn.NONE, dtype=np.int64),
        is_intersection=np.array([lane.choose("is_intersection", _BOOLEANS) for lane in lanes], dtype=bool),
        has_traffic_control=np.zeros(len(lanes), dtype=bool),
    )


def _crossing_polylines(crossings: list[_Element]) -> MapPolylines:
    return MapPolylines(
        ids=np.array([crossing.id for crossing in crossings], dtype=np.int64),
        points=_middle(crossings, "edge1", "edge2"),
        kinds=np.full(len(crossings), PolylineKind.CROSSWALK, dtype=np.int64),
        turns=np.full(len(crossings), Turn.NONE, dtype=np.int64),
        is_intersection=np.zeros(len(crossings), dtype=bool),
        has_traffic_control=np.zeros(len(crossings), dtype=bool),
    )


def _middle(elements: list[_Element], one_side: str, other_side: str) -> Float[np.ndarray, "lanes points 2"]:
    return (_evenly(elements, one_side) + _evenly(elements, other_side)) / 2


def _evenly(elements: list[_Element], key: str) -> Float[np.ndarray, "lanes points 2"]:
    """Returns the polyline called `key` of each element, resampled."""
    lines = [element.line(key) for element in elements]
    counts = np.array([len(line) for line in lines], dtype=np.int64)
    with suppress(ValueError):  # a coordinate that is a list
        vertices = np.array([vertex for line in lines for vertex in line])
        if vertices.dtype.kind in "fi" and (np.abs(vertices) <= COORDINATE_LIMIT_M).all():
            return resample(vertices.astype(float).reshape(counts.sum(), 2), counts)
    for element, line in zip(elements, lines, strict=True):
        for value in (value for vertex in line for value in vertex):
            if type(value) not in (int, float) or not abs(value) <= COORDINATE_LIMIT_M:
                raise element.bad(f"coordinates below {COORDINATE_LIMIT_M:g} m in {key}", _shortened(value))
    raise ValueError("a coordinate is no number")


def _shortened(value: Any) -> str:
    return "none" if value is None else repr(value)[:40]
