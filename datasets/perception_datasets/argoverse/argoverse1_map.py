"""Reader of Argoverse 1's vector maps: one XML file per city, read without the devkit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from xml.parsers import expat

import numpy as np
from jaxtyping import Float

from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import COORDINATE_LIMIT_M, MapPolylines, PolylineKind, Turn
from perception_datasets.argoverse.polylines import POLYLINE_POINTS, resample
from perception_datasets.argoverse.remembered import remembered
from perception_datasets.argoverse.table_files import check_file_size
from perception_datasets.errors import bad_file, reading

MAP_FILES = {
    "PIT": "pruned_argoverse_PIT_10314_vector_map.xml",
    "MIA": "pruned_argoverse_MIA_10316_vector_map.xml",
}
MAP_CURE = "unpack Argoverse 1's hd_maps.tar.gz so that map_files/ lies beside the split folders"

_TURNS = {"NONE": Turn.NONE, "LEFT": Turn.LEFT, "RIGHT": Turn.RIGHT}
_WORDS = {
    "turn_direction": tuple(_TURNS),
    "is_intersection": ("True", "False"),
    "has_traffic_control": ("True", "False"),
}
_LONGEST_ID = 18
"""Digits that fit into 64 bits."""


@remembered(lambda maps, city: [maps / MAP_FILES[city]], results=4)
def read_city_map(maps: Path, city: str) -> MapIndex:
    """Reads the lane centerlines of a city; parses each file once per process (0.2 s Pittsburgh, 0.5 s Miami)."""
    path = maps / MAP_FILES[city]
    with reading(path, MAP_CURE):
        check_file_size(path, MAP_CURE)
        try:
            lanes, nodes = _parse(path)
        except expat.ExpatError as error:
            raise bad_file(path, f"it is not well-formed XML ({error})", MAP_CURE) from error
        if not lanes:
            raise bad_file(path, 'expected <way lane_id="…">, found none', MAP_CURE)
        return MapIndex(_polylines(path, lanes, nodes))


class _Lane:
    """A <way>: lane id, tags, and the node ids of its centerline."""

    __slots__ = ("id", "nodes", "tags")

    def __init__(self, lane_id: str) -> None:
        self.id = lane_id
        self.tags: dict[str, str] = {}
        self.nodes: list[str] = []


def _parse(path: Path) -> tuple[list[_Lane], dict[str, tuple[str, str]]]:
    """Returns all lanes and all nodes (as text). Expat takes a third of the time of an element tree."""
    lanes: list[_Lane] = []
    nodes: dict[str, tuple[str, str]] = {}

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "node":
            nodes[attributes["id"]] = (attributes["x"], attributes["y"])
        elif tag == "nd":
            lanes[-1].nodes.append(attributes["ref"])
        elif tag == "tag":
            lanes[-1].tags[attributes["k"]] = attributes["v"]
        elif tag == "way":
            lanes.append(_Lane(attributes["lane_id"]))

    def refuse_doctype(*_: object) -> None:
        # Argoverse's maps have none. Its entities can grow to any length when they are expanded.
        raise bad_file(path, "expected no document type definition, found one", MAP_CURE)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse_doctype
    with path.open("rb") as file:
        parser.ParseFile(file)
    return lanes, nodes


def _polylines(path: Path, lanes: list[_Lane], nodes: dict[str, tuple[str, str]]) -> MapPolylines:
    for lane in lanes:
        _check(path, lane, nodes)
    counts = np.array([len(lane.nodes) for lane in lanes])
    vertices = _vertices(path, lanes, nodes)
    points = resample(vertices, counts)
    ends = np.cumsum(counts)
    for row in np.flatnonzero(counts == POLYLINE_POINTS):  # nearly all; these are kept bit-exact
        points[row] = vertices[ends[row] - POLYLINE_POINTS : ends[row]]
    return MapPolylines(
        ids=np.array([int(lane.id) for lane in lanes], dtype=np.int64),
        points=points,
        kinds=np.full(len(lanes), PolylineKind.VEHICLE_LANE, dtype=np.int64),
        turns=np.array([_TURNS[lane.tags["turn_direction"]] for lane in lanes], dtype=np.int64),
        is_intersection=np.array([lane.tags["is_intersection"] == "True" for lane in lanes]),
        has_traffic_control=np.array([lane.tags["has_traffic_control"] == "True" for lane in lanes]),
    )


def _check(path: Path, lane: _Lane, nodes: dict[str, tuple[str, str]]) -> None:
    """Raises RecordError if an attribute of a lane is not what the format allows, or a node is missing."""
    if not lane.id.isascii() or not lane.id.isdigit() or len(lane.id) > _LONGEST_ID:
        raise bad_file(path, f"expected numbers as lane_id, found {lane.id[:40]!r}", MAP_CURE)
    for tag, words in _WORDS.items():
        if lane.tags.get(tag) not in words:
            found = repr(lane.tags[tag][:40]) if tag in lane.tags else "none"
            raise bad_file(path, f"lane {lane.id}: expected {tag} {' or '.join(words)}, found {found}", MAP_CURE)
    if not lane.nodes:
        raise bad_file(path, f"lane {lane.id}: expected <nd> for the points of its centerline, found none", MAP_CURE)
    for node in lane.nodes:
        if node not in nodes:
            raise bad_file(path, f"lane {lane.id}: expected <node> {node[:40]} in the file, found none", MAP_CURE)


def _vertices(path: Path, lanes: list[_Lane], nodes: dict[str, tuple[str, str]]) -> Float[np.ndarray, "vertices 2"]:
    """Returns the points of all lanes, one lane after the other."""
    with suppress(ValueError):
        vertices = np.array([nodes[node] for lane in lanes for node in lane.nodes], dtype=float)
        if (np.abs(vertices) <= COORDINATE_LIMIT_M).all():
            return vertices
    for lane in lanes:
        for node in lane.nodes:
            for text in nodes[node]:
                if not _is_coordinate(text):
                    reason = f"lane {lane.id}, node {node}: expected coordinates below {COORDINATE_LIMIT_M:g} m, found "
                    raise bad_file(path, reason + repr(text[:40]), MAP_CURE)
    raise ValueError("a coordinate is no number")


def _is_coordinate(text: str) -> bool:
    try:
        return abs(float(text)) <= COORDINATE_LIMIT_M
    except ValueError:
        return False
