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

    The points of a polyline are the same bits whatever other polylines are beside it, so that a lane that is in the
    maps of many scenarios is recognised (`perception_datasets.stores.shared_rows`).

    Args:
        vertices: Vertices of all polylines, one polyline after the other.
        counts: Number of vertices of each polyline, at least one.
        num_points: Number of points of each resampled polyline.
    """
    starts = np.cumsum(counts) - counts
    points = np.empty((len(counts), num_points, 2))
    magnitude = np.frexp(counts)[1]  # of similar length, so that the shorter ones are not padded to many times theirs
    for rows in (np.flatnonzero(magnitude == one) for one in np.unique(magnitude)):
        column = np.minimum(np.arange(counts[rows].max()), counts[rows, None] - 1)
        points[rows] = _resample_padded(vertices[starts[rows, None] + column], counts[rows], num_points)
    return points


def _resample_padded(
    vertices: Float[np.ndarray, "polylines longest 2"], counts: Int[np.ndarray, " polylines"], num_points: int
) -> Float[np.ndarray, "polylines {num_points} 2"]:
    """Resamples polylines whose last vertices are repeated up to the longest one's number."""
    row = np.arange(len(counts))[:, None]
    travelled = np.zeros(vertices.shape[:2])
    travelled[:, 1:] = np.cumsum(np.linalg.norm(np.diff(vertices, axis=1), axis=2), axis=1)
    wanted = travelled[:, -1:] * np.linspace(0.0, 1.0, num_points)
    before = (travelled[:, None] <= wanted[..., None]).sum(axis=2) - 1
    before = np.minimum(before, np.maximum(counts - 2, 0)[:, None])
    after = np.minimum(before + 1, (counts - 1)[:, None])
    step = travelled[row, after] - travelled[row, before]
    share = np.clip((wanted - travelled[row, before]) / np.where(step > 0, step, 1.0), 0.0, 1.0)[..., None]
    points = vertices[row, before] * (1 - share) + vertices[row, after] * share
    points[:, 0], points[:, -1] = vertices[:, 0], vertices[:, -1]
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
    tail_x, tail_y = lanes.points[:, :-1].reshape(-1, 2).T
    piece = np.diff(lanes.points, axis=1).reshape(-1, 2)
    piece_x, piece_y = np.ascontiguousarray(piece.T)  # by coordinate: sums over a last axis of two are slow
    squared = np.maximum(piece_x**2 + piece_y**2, 1e-12)
    x, y = points[:, :1] - tail_x, points[:, 1:] - tail_y
    along = np.clip((x * piece_x + y * piece_y) / squared, 0.0, 1.0)
    distance = np.sqrt((x - along * piece_x) ** 2 + (y - along * piece_y) ** 2)
    nearest = distance.argmin(axis=1)
    heading = np.arctan2(piece[nearest, 1], piece[nearest, 0])
    return heading, distance[np.arange(len(points)), nearest] <= within_m
