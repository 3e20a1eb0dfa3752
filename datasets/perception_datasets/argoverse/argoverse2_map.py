"""Reader of Argoverse 2's vector maps: `log_map_archive_*.json`, one per scenario or sensor log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import MapPolylines, PolylineKind, Turn
from perception_datasets.argoverse.polylines import concatenate, resample
from perception_datasets.errors import reading

MAP_CURE = "extract the scenario's folder again from Argoverse 2's archive"

_LANE_KINDS = {
    "VEHICLE": PolylineKind.VEHICLE_LANE,
    "BIKE": PolylineKind.BIKE_LANE,
    "BUS": PolylineKind.BUS_LANE,
}


def read_map(path: Path) -> MapIndex:
    """Reads a map file: all lane segments, then all pedestrian crossings.

    A lane is its stored centerline, or the middle of its two boundaries in the maps of sensor logs, which store none. A
    crossing is its axis, the middle of its two edges.
    """
    with reading(path, MAP_CURE):
        archive = json.loads(path.read_bytes())
        lanes = list(archive["lane_segments"].values())
        crossings = list(archive["pedestrian_crossings"].values())
        return MapIndex(concatenate([_lane_polylines(lanes), _crossing_polylines(crossings)]))


def _lane_polylines(lanes: list[dict[str, Any]]) -> MapPolylines:
    stored = bool(lanes) and "centerline" in lanes[0]
    return MapPolylines(
        ids=np.array([lane["id"] for lane in lanes], dtype=np.int64),
        points=_evenly(lanes, "centerline") if stored else _middle(lanes, "left_lane_boundary", "right_lane_boundary"),
        kinds=np.array([_LANE_KINDS[lane["lane_type"]] for lane in lanes], dtype=np.int64),
        turns=np.full(len(lanes), Turn.NONE, dtype=np.int64),
        is_intersection=np.array([lane["is_intersection"] for lane in lanes], dtype=bool),
        has_traffic_control=np.zeros(len(lanes), dtype=bool),
    )


def _crossing_polylines(crossings: list[dict[str, Any]]) -> MapPolylines:
    return MapPolylines(
        ids=np.array([crossing["id"] for crossing in crossings], dtype=np.int64),
        points=_middle(crossings, "edge1", "edge2"),
        kinds=np.full(len(crossings), PolylineKind.CROSSWALK, dtype=np.int64),
        turns=np.full(len(crossings), Turn.NONE, dtype=np.int64),
        is_intersection=np.zeros(len(crossings), dtype=bool),
        has_traffic_control=np.zeros(len(crossings), dtype=bool),
    )


def _middle(elements: list[dict[str, Any]], one_side: str, other_side: str) -> Float[np.ndarray, "lanes points 2"]:
    return (_evenly(elements, one_side) + _evenly(elements, other_side)) / 2


def _evenly(elements: list[dict[str, Any]], name: str) -> Float[np.ndarray, "lanes points 2"]:
    """Returns the polyline called `name` of each element, resampled."""
    empty = [element["id"] for element in elements if not element[name]]
    if empty:
        raise ValueError(f"{name} of {empty[0]} has no points")
    counts = np.array([len(element[name]) for element in elements], dtype=np.int64)
    vertices = np.array([(p["x"], p["y"]) for element in elements for p in element[name]], dtype=float).reshape(-1, 2)
    if not np.isfinite(vertices).all():
        raise ValueError(f"a {name} has infinite or NaN coordinates")
    return resample(vertices, counts)
