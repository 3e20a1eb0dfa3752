"""Converts a map from and to the `forecast_msgs/PolylineMap` that is latched on a topic."""

from __future__ import annotations

from typing import Any

import numpy as np

from perception.traffic.map_index import MapIndex
from perception.traffic.scenario import MapPolylines, PolylineKind, Turn
from perception_nodes.ros.cdr_payload import MalformedMessage
from perception_nodes.ros.messages import POLYLINE_MAP, header, make
from perception_nodes.ros.objects import FARTHEST_M

MAX_POLYLINES = 100_000
"""Maximum number of a map's polylines: five times those of Argoverse 1's Miami and Pittsburgh together. A node keeps
up to 1.5 kB of each."""
MAX_POINTS_EACH = 32
"""Maximum number of points of a polyline; Argoverse's readers resample to 10."""
_BY_POLYLINE = ("kinds", "turns", "is_intersection", "has_traffic_control", "point_counts")


def map_message(lanes: MapIndex, city: str, *, frame_id: str = "map") -> Any:
    """Returns a map as a message. Its stamp is 0, since it does not age."""
    polylines = lanes.polylines
    count, points = polylines.points.shape[:2]
    return make(
        POLYLINE_MAP,
        header=header(0, frame_id),
        map_id=city,
        ids=polylines.ids.astype(np.int64),
        kinds=polylines.kinds.astype(np.uint8),
        turns=polylines.turns.astype(np.uint8),
        is_intersection=polylines.is_intersection,
        has_traffic_control=polylines.has_traffic_control,
        point_counts=np.full(count, points, np.uint32),
        points=polylines.points.reshape(-1).astype(np.float64),
    )


def map_of(message: Any) -> tuple[MapIndex, str]:
    """Returns the map in a message, and its name.

    Raises:
        MalformedMessage: The lists differ in length, a coordinate is not finite or out of range, a kind is unknown,
            the polylines differ in their number of points, or there are too many of either.
    """
    count = len(message.ids)
    if count > MAX_POLYLINES:
        raise MalformedMessage(
            f"map: expected at most {MAX_POLYLINES} polylines, got {count}; send the part that the robot can reach"
        )
    for name in _BY_POLYLINE:
        if len(getattr(message, name)) != count:
            raise MalformedMessage(f"map: expected {count} {name}, one a polyline, got {len(getattr(message, name))}")
    counts = np.unique(message.point_counts).astype(np.int64)
    if len(counts) > 1 or (count and not 2 <= counts[0] <= MAX_POINTS_EACH):
        raise MalformedMessage(
            f"map: expected polylines of equally many points, 2 to {MAX_POINTS_EACH}, got "
            f"{', '.join(map(str, counts[:8]))}; "
            "resample them as the model's training data (Argoverse: 10 points)"
        )
    points_each = int(counts[0]) if count else 2
    if len(message.points) != 2 * count * points_each:
        raise MalformedMessage(f"map: expected {2 * count * points_each} coordinates, got {len(message.points)}")
    points = np.array(message.points, dtype=np.float64).reshape(count, points_each, 2)
    if not (np.abs(points) < FARTHEST_M).all():
        raise MalformedMessage(f"map: expected finite coordinates below {FARTHEST_M:g} m, got others; check the source")
    for name, known in (("kinds", PolylineKind), ("turns", Turn)):
        if count and max(getattr(message, name)) >= len(known):
            raise MalformedMessage(f"map: expected {name} below {len(known)}, got {max(getattr(message, name))}")
    polylines = MapPolylines(
        ids=np.array(message.ids, dtype=np.int64),
        points=points,
        kinds=np.array(message.kinds, dtype=np.int64),
        turns=np.array(message.turns, dtype=np.int64),
        is_intersection=np.array(message.is_intersection, dtype=bool),
        has_traffic_control=np.array(message.has_traffic_control, dtype=bool),
    )
    return MapIndex(polylines), str(message.map_id)
