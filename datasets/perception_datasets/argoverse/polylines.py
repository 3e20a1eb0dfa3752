"""Resampling of map polylines to a fixed number of points, and the direction of the nearest one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.traffic.scenario import MapPolylines

POLYLINE_POINTS = 10
"""Argoverse 1's own centerlines have ten points; all other polylines are resampled to this number."""


def resample(
    vertices: Float[np.ndarray, "vertices 2"], counts: Int[np.ndarray, " polylines"], num_points: int = POLYLINE_POINTS
) -> Float[np.ndarray, "polylines {num_points} 2"]:
    """Resamples polylines to points at equal arc length; keeps both end points exactly.

    Args:
        vertices: Vertices of all polylines, one polyline after the other.
        counts: Number of vertices of each polyline, at least one.
        num_points: Number of points of each resampled polyline.
    """
    ends = np.cumsum(counts)
    starts = ends - counts
    length = np.linalg.norm(np.diff(vertices, axis=0, prepend=vertices[:1]), axis=1)
    length[starts] = 0.0
    travelled = np.cumsum(length)
    first, last = travelled[starts], travelled[ends - 1]
    wanted = first[:, None] + (last - first)[:, None] * np.linspace(0.0, 1.0, num_points)

    # All polylines are searched at once, so the result must be clipped to the polyline that a point belongs to.
    before = np.searchsorted(travelled, wanted, side="right") - 1
    before = np.clip(before, starts[:, None], np.maximum(ends - 2, starts)[:, None])
    after = np.minimum(before + 1, (ends - 1)[:, None])
    step = travelled[after] - travelled[before]
    share = np.clip((wanted - travelled[before]) / np.where(step > 0, step, 1.0), 0.0, 1.0)[..., None]
    points = vertices[before] * (1 - share) + vertices[after] * share
    points[:, 0], points[:, -1] = vertices[starts], vertices[ends - 1]
    return points


def concatenate(parts: list[MapPolylines]) -> MapPolylines:
    """Concatenates the polylines of several maps, in order."""
    return MapPolylines(
        ids=np.concatenate([part.ids for part in parts]),
        points=np.concatenate([part.points for part in parts]),
        kinds=np.concatenate([part.kinds for part in parts]),
        turns=np.concatenate([part.turns for part in parts]),
        is_intersection=np.concatenate([part.is_intersection for part in parts]),
        has_traffic_control=np.concatenate([part.has_traffic_control for part in parts]),
    )


def lane_heading(
    points: Float[np.ndarray, "queries 2"], lanes: MapPolylines, within_m: float
) -> tuple[Float[np.ndarray, " queries"], Bool[np.ndarray, " queries"]]:
    """Returns the direction of the nearest polyline piece at each point, and whether it is within `within_m`."""
    if len(lanes) == 0:
        return np.zeros(len(points)), np.zeros(len(points), bool)
    tail = lanes.points[:, :-1].reshape(-1, 2)
    piece = lanes.points[:, 1:].reshape(-1, 2) - tail
    squared = np.maximum((piece**2).sum(axis=1), 1e-12)
    offset = points[:, None] - tail
    along = np.clip((offset * piece).sum(axis=2) / squared, 0.0, 1.0)
    distance = np.linalg.norm(offset - along[..., None] * piece, axis=2)
    nearest = distance.argmin(axis=1)
    heading = np.arctan2(piece[nearest, 1], piece[nearest, 0])
    return heading, distance[np.arange(len(points)), nearest] <= within_m
