"""The lanes and crosswalks of a lanelet2 map as polylines.

A lanelet's centreline is the one that the map has, or the middle of its two bounds at equal shares of their lengths.
Long lanelets are cut, since every polyline has the same number of points: those of Argoverse's lane segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import COORDINATE_LIMIT_M, MapPolylines, PolylineKind, Turn
from perception_datasets.argoverse.polylines import POLYLINE_POINTS, concatenate, resample
from perception_datasets.errors import bad_file
from perception_datasets.lanelet2.osm import Element, Lanelet, OsmMap, read_osm
from perception_datasets.lanelet2.projection import PROJECTOR_FILE, Projector, read_projector

MAX_AWAY_M = 1e6
"""Maximum distance of projected points from the origin, along each axis."""
MAX_LENGTH_M = 50_000.0
"""Longer lanelets are damage."""
MAX_PIECE_M = 100.0
"""Lanelets that are longer are cut into equal pieces. In six maps of Argoverse 2 the longest lane segment has 112 m."""

_KINDS = {
    "road": PolylineKind.VEHICLE_LANE,
    "highway": PolylineKind.VEHICLE_LANE,
    "play_street": PolylineKind.VEHICLE_LANE,
    "exit": PolylineKind.VEHICLE_LANE,
    "bus_lane": PolylineKind.BUS_LANE,
    "bicycle_lane": PolylineKind.BIKE_LANE,
    "crosswalk": PolylineKind.CROSSWALK,
}
"""Subtypes of lanelets that have a counterpart in Argoverse's maps; others, such as walkways, are left out."""
_TURNS = {"left": Turn.LEFT, "right": Turn.RIGHT, "straight": Turn.NONE}
_CONTROLS = {"traffic_light", "right_of_way", "all_way_stop"}
"""Subtypes of regulatory elements that are traffic control; a traffic sign is if it is one of `_STOP_SIGNS`."""
_STOP_SIGNS = {"stop_sign", "usR1-1", "de206"}
_LOCAL = ("local_x", "local_y")
_DEGREES = ("lat", "lon")


@dataclass(frozen=True)
class LaneletMap:
    """A lanelet2 map, as far as a forecaster uses it.

    Attributes:
        index: Lanes and crosswalks.
        left_out: Number of lanelets of each subtype that has no counterpart in Argoverse's maps.
        frame: How the coordinates came about, in words.
    """

    index: MapIndex
    left_out: Counter[str]
    frame: str


def read_lanelet2(path: Path, projector: Projector | None = None, *, tags_only: bool = False) -> LaneletMap:
    """Reads a lanelet2 map.

    Coordinates are the points' `local_x` and `local_y`, which Autoware's maps have. Without them, latitude and
    longitude are projected.

    Args:
        path: The .osm file.
        projector: Projects latitudes and longitudes, also where there are local coordinates. By default
            the file `map_projector_info.yaml` beside the map says how.
        tags_only: Refuses a map without `local_x` and `local_y`.

    Raises:
        RecordError: The file is damaged, or a lanelet cannot be used; the message names it.
    """
    osm = read_osm(path)
    left_out: Counter[str] = Counter()
    kept = []
    for lanelet in osm.lanelets:
        subtype = lanelet.tags.get("subtype", "none")
        if subtype in _KINDS:
            kept.append(lanelet)
        else:
            left_out[subtype] += 1
    if not kept:
        found = ", ".join(f"{count} {name}" for name, count in left_out.items())
        raise osm.bad(f"expected lanelets of the subtypes {', '.join(_KINDS)}, found {found[:200]}")
    points = _Points(osm, kept, projector, tags_only)
    return LaneletMap(MapIndex(_polylines(osm, kept, points)), left_out, points.frame)


class _Points:
    """The points that lanelets use, in metres."""

    def __init__(self, osm: OsmMap, lanelets: list[Lanelet], projector: Projector | None, tags_only: bool) -> None:
        self._osm = osm
        users: dict[str, Lanelet] = {}
        for lanelet in lanelets:
            for way in (*lanelet.left, *lanelet.right, *lanelet.centreline):
                for node in self._nodes(lanelet, way):
                    users.setdefault(node, lanelet)
        self._rows = {node: row for row, node in enumerate(users)}
        local = [node for node in users if all(key in osm.nodes[node].tags for key in _LOCAL)]
        if projector is None and local:
            if len(local) < len(users):
                without = next(node for node in users if any(key not in osm.nodes[node].tags for key in _LOCAL))
                raise osm.bad(
                    f"lanelet {users[without].id}, node {without}: expected local_x and local_y, as {len(local)} of "
                    f"{len(users)} points have them, found none"
                )
            self.positions = self._numbers(users, _local, (COORDINATE_LIMIT_M, COORDINATE_LIMIT_M))
            self.frame = "local_x and local_y of the points"
            return
        if tags_only:
            raise bad_file(osm.path, "expected points with local_x and local_y, found none", "give another --projector")
        projector = projector or self._projector_beside()
        degrees = self._numbers(users, _place, (90.0, 180.0, 1e4))
        self.positions = projector.project(degrees)
        self.frame = f"latitude and longitude by {projector.kind}"
        for position, (node, lanelet) in zip(self.positions, users.items(), strict=True):
            if not (np.abs(position) <= MAX_AWAY_M).all():
                reason = f"lanelet {lanelet.id}, node {node}: expected it within {MAX_AWAY_M / 1e3:g} km of the origin"
                raise bad_file(
                    osm.path, f"{reason}, found it further away", "compare the origin with the map's degrees"
                )

    def line(self, lanelet: Lanelet, ways: tuple[str, ...]) -> Float[np.ndarray, "vertices 2"]:
        """Returns the vertices of ways that are joined in order, each turned so that it continues the one before."""
        parts = [self.positions[[self._rows[node] for node in self._nodes(lanelet, way)]] for way in ways]
        joined = parts[0]
        for part in parts[1:]:
            if len(joined) == len(parts[0]) and _gap(joined[-1:], part) > _gap(joined[:1], part):
                joined = joined[::-1]
            backwards = np.linalg.norm(joined[-1] - part[-1]) < np.linalg.norm(joined[-1] - part[0])
            joined = np.concatenate([joined, part[::-1] if backwards else part])
        return joined

    def _nodes(self, lanelet: Lanelet, way: str) -> list[str]:
        if way not in self._osm.ways:
            raise self._osm.bad(f"lanelet {lanelet.id}: expected the way {way[:40]} in the file, found none")
        nodes = [node for _, _, node in self._osm.ways[way].members]
        if len(nodes) < 2:
            raise self._osm.bad(f"lanelet {lanelet.id}, way {way}: expected at least 2 points, found {len(nodes)}")
        for node in nodes:
            if node not in self._osm.nodes:
                reason = f"lanelet {lanelet.id}, way {way}: expected the node {node[:40]} in the file, found none"
                raise self._osm.bad(reason)
        return nodes

    def _projector_beside(self) -> Projector:
        """Returns the projection that the file beside the map names."""
        file, cure = self._osm.path.parent / PROJECTOR_FILE, "give --projector, and --origin where it needs one"
        found = read_projector(file) if file.exists() else None
        if found is None:
            what = "a local one there" if file.exists() else "neither"
            reason = f"expected points with local_x and local_y, or {PROJECTOR_FILE} beside the map, found {what}"
            raise bad_file(self._osm.path, reason, cure)
        return found

    def _numbers(
        self, users: dict[str, Lanelet], texts_of: Callable[[Element], list[str]], limits: tuple[float, ...]
    ) -> Float[np.ndarray, "points numbers"]:
        """Returns numbers that the points have as texts, each at most its limit."""
        rows = []
        for node, lanelet in users.items():
            texts = texts_of(self._osm.nodes[node])
            try:
                numbers = [float(text) for text in texts]
            except ValueError:
                numbers = [np.nan] * len(limits)
            if not all(abs(number) <= limit for number, limit in zip(numbers, limits, strict=True)):
                expected, found = (
                    ", ".join(each) for each in ([f"{n:g}" for n in limits], [text[:40] for text in texts])
                )
                reason = f"lanelet {lanelet.id}, node {node}: expected coordinates up to {expected}, found {found}"
                raise self._osm.bad(reason)
            rows.append(numbers)
        return np.array(rows)


def _local(node: Element) -> list[str]:
    return [node.tags[key] for key in _LOCAL]


def _place(node: Element) -> list[str]:
    """Returns latitude, longitude and height."""
    return [*(node.attributes.get(key, "none") for key in _DEGREES), node.tags.get("ele", "0")]


def _gap(ends: Float[np.ndarray, "1 2"], part: Float[np.ndarray, "vertices 2"]) -> float:
    """Returns the distance of a line's end from the nearer end of another line."""
    return float(np.linalg.norm(part[[0, -1]] - ends, axis=1).min())


def _polylines(osm: OsmMap, lanelets: list[Lanelet], points: _Points) -> MapPolylines:
    centrelines = [_centreline(lanelet, points) for lanelet in lanelets]
    lengths = [float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()) for line in centrelines]
    for lanelet, length in zip(lanelets, lengths, strict=True):
        if not 0 < length <= MAX_LENGTH_M:
            reason = f"lanelet {lanelet.id}: expected a centreline of up to {MAX_LENGTH_M / 1e3:g} km, found one of "
            raise osm.bad(reason + f"{length:g} m")
    pieces = np.maximum(1, np.ceil(np.array(lengths) / MAX_PIECE_M)).astype(np.int64)
    parts = [
        _cut(osm, lanelet, line, int(count)) for lanelet, line, count in zip(lanelets, centrelines, pieces, strict=True)
    ]
    return concatenate(parts)


def _centreline(lanelet: Lanelet, points: _Points) -> Float[np.ndarray, "vertices 2"]:
    """Returns the vertices of a centreline in driving direction."""
    left, right = points.line(lanelet, lanelet.left), points.line(lanelet, lanelet.right)
    left, right = _aligned(left, right)
    if lanelet.centreline:
        line = points.line(lanelet, lanelet.centreline)
        along = (left[-1] + right[-1]) - (left[0] + right[0])
        line = line if np.dot(line[-1] - line[0], along) >= 0 else line[::-1]
    else:
        steps = max(len(left), len(right), POLYLINE_POINTS)
        bounds = resample(np.concatenate([left, right]), np.array([len(left), len(right)]), 4 * steps)
        line = bounds.mean(axis=0)
    return line


def _aligned(
    left: Float[np.ndarray, "lefts 2"], right: Float[np.ndarray, "rights 2"]
) -> tuple[Float[np.ndarray, "lefts 2"], Float[np.ndarray, "rights 2"]]:
    """Turns the bounds so that the left one has the right one on its right, as lanelet2 does when it loads a map."""
    if _side(left, _middle(right)) > 0:
        left = left[::-1]
    if _side(right, _middle(left)) < 0:
        right = right[::-1]
    return left, right


def _middle(line: Float[np.ndarray, "vertices 2"]) -> Float[np.ndarray, " 2"]:
    return line[len(line) // 2] if len(line) > 2 else line.mean(axis=0)


def _side(line: Float[np.ndarray, "vertices 2"], point: Float[np.ndarray, " 2"]) -> float:
    """Returns a number above 0 if a point lies on the left of a line, by the line's piece that is nearest to it."""
    start, piece = line[:-1], np.diff(line, axis=0)
    squared = np.maximum((piece**2).sum(axis=1), 1e-12)
    share = np.clip(((point - start) * piece).sum(axis=1) / squared, 0.0, 1.0)[:, None]
    nearest = int(np.linalg.norm(point - (start + share * piece), axis=1).argmin())
    away = point - start[nearest]
    return float(piece[nearest, 0] * away[1] - piece[nearest, 1] * away[0])


def _cut(osm: OsmMap, lanelet: Lanelet, line: Float[np.ndarray, "vertices 2"], pieces: int) -> MapPolylines:
    """Returns a lanelet as polylines of equal length that share their ends and its id."""
    each = POLYLINE_POINTS - 1
    (points,) = resample(line, np.array([len(line)]), each * pieces + 1)
    rows = each * np.arange(pieces)[:, None] + np.arange(POLYLINE_POINTS)
    tags = lanelet.tags

    def repeated(value: int) -> Int[np.ndarray, " pieces"]:
        return np.full(pieces, value, dtype=np.int64)

    def flagged(value: bool) -> Bool[np.ndarray, " pieces"]:
        return np.full(pieces, value, dtype=bool)

    return MapPolylines(
        ids=repeated(int(lanelet.id)),
        points=points[rows],
        kinds=repeated(_KINDS[tags["subtype"]]),
        turns=repeated(_TURNS.get(tags.get("turn_direction", "straight"), Turn.NONE)),
        is_intersection=flagged("turn_direction" in tags or "intersection_area" in tags),
        has_traffic_control=flagged(any(_is_control(osm, lanelet, rule) for rule in lanelet.rules)),
    )


def _is_control(osm: OsmMap, lanelet: Lanelet, rule: str) -> bool:
    if rule not in osm.rules:
        raise osm.bad(f"lanelet {lanelet.id}: expected the regulatory element {rule[:40]} in the file, found none")
    element = osm.rules[rule]
    subtype = element.tags.get("subtype", "")
    return subtype in _CONTROLS or (subtype == "traffic_sign" and any(_is_stop(osm, *m) for m in element.members))


def _is_stop(osm: OsmMap, kind: str, role: str, other: str) -> bool:
    sign: Element | None = osm.ways.get(other) if kind == "way" and role == "refers" else None
    return sign is not None and sign.tags.get("subtype") in _STOP_SIGNS
