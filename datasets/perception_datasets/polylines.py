"""Map polylines with a fixed number of points, and the choice of those near the agents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.scenario import MapPolylines

POLYLINE_POINTS = 10
"""Argoverse 1's own centrelines have ten points; all other polylines are resampled to as many."""

MAP_RADIUS_M = 100.0
"""How far around the focal agent a scenario's map reaches."""


def resample(
    vertices: Float[np.ndarray, "vertices 2"], counts: Int[np.ndarray, " polylines"], num_points: int = POLYLINE_POINTS
) -> Float[np.ndarray, "polylines {num_points} 2"]:
    """Points at equal arc length along each of many polylines; both end points are kept exactly.

    Args:
        vertices: The vertices of all polylines, one polyline after the other.
        counts: How many vertices each polyline has, at least one.
        num_points: Points of each resampled polyline.
    """
    ends = np.cumsum(counts)
    starts = ends - counts
    length = np.linalg.norm(np.diff(vertices, axis=0, prepend=vertices[:1]), axis=1)
    length[starts] = 0.0
    travelled = np.cumsum(length)
    first, last = travelled[starts], travelled[ends - 1]
    wanted = first[:, None] + (last - first)[:, None] * np.linspace(0.0, 1.0, num_points)

    # The jump between two polylines counts no length, so that a search over all vertices at once must be kept inside.
    before = np.searchsorted(travelled, wanted, side="right") - 1
    before = np.clip(before, starts[:, None], np.maximum(ends - 2, starts)[:, None])
    after = np.minimum(before + 1, (ends - 1)[:, None])
    step = travelled[after] - travelled[before]
    share = np.clip((wanted - travelled[before]) / np.where(step > 0, step, 1.0), 0.0, 1.0)[..., None]
    points = vertices[before] * (1 - share) + vertices[after] * share
    points[:, 0], points[:, -1] = vertices[starts], vertices[ends - 1]
    return points


def concatenate(parts: list[MapPolylines]) -> MapPolylines:
    """One map from several, in their order."""
    return MapPolylines(
        ids=np.concatenate([part.ids for part in parts]),
        points=np.concatenate([part.points for part in parts]),
        kinds=np.concatenate([part.kinds for part in parts]),
        turns=np.concatenate([part.turns for part in parts]),
        is_intersection=np.concatenate([part.is_intersection for part in parts]),
        has_traffic_control=np.concatenate([part.has_traffic_control for part in parts]),
    )


def take(polylines: MapPolylines, rows: Int[np.ndarray, " chosen"]) -> MapPolylines:
    """Some polylines of a map."""
    return MapPolylines(
        ids=polylines.ids[rows],
        points=polylines.points[rows],
        kinds=polylines.kinds[rows],
        turns=polylines.turns[rows],
        is_intersection=polylines.is_intersection[rows],
        has_traffic_control=polylines.has_traffic_control[rows],
    )


@dataclass(frozen=True)
class MapIndex:
    """A whole city's or log's polylines, from which a scenario takes those near its agents."""

    polylines: MapPolylines

    @cached_property
    def _corners(self) -> tuple[Float[np.ndarray, "lanes 2"], Float[np.ndarray, "lanes 2"]]:
        return self.polylines.points.min(axis=1), self.polylines.points.max(axis=1)

    def near(
        self,
        position: Float[np.ndarray, "agents steps 2"],
        valid: Bool[np.ndarray, "agents steps"],
        focal: int,
        present: int,
        radius_m: float = MAP_RADIUS_M,
    ) -> MapPolylines:
        """The polylines that matter at the present step.

        A polyline is kept when one of its points lies within `radius_m` (the larger of |Δx| and |Δy|) of the focal
        agent, or within half of that of any other agent that is seen at the present step and is itself within
        `radius_m` of the focal agent. Nothing after the present is looked at, so a test record gets the same map.
        """
        centre = position[focal, last_seen(valid, present)[focal]]
        low, high = self._corners
        reach_m = 1.5 * radius_m
        rows = np.flatnonzero(((low <= centre + reach_m) & (high >= centre - reach_m)).all(axis=1))
        points = self.polylines.points[rows]

        others = position[valid[:, present], present]
        others = others[np.abs(others - centre).max(axis=1) <= radius_m]
        near = _within(points, centre[None], radius_m) | _within(points, others, radius_m / 2)
        return take(self.polylines, rows[near])


def _within(
    points: Float[np.ndarray, "lanes points 2"], centres: Float[np.ndarray, "centres 2"], radius_m: float
) -> Bool[np.ndarray, " lanes"]:
    """Whether any point of a polyline is within the radius (Chebyshev) of any centre."""
    x, y = points[..., 0, None], points[..., 1, None]
    return np.any((np.abs(x - centres[:, 0]) <= radius_m) & (np.abs(y - centres[:, 1]) <= radius_m), axis=(1, 2))


def last_seen(valid: Bool[np.ndarray, "agents steps"], present: int) -> Int[np.ndarray, " agents"]:
    """For each agent the step when it was seen last, up to the present; of one that comes later, its first step."""
    latest = present - valid[:, present::-1].argmax(axis=1)
    return np.where(valid[:, : present + 1].any(axis=1), latest, valid.argmax(axis=1))


def lane_heading(
    points: Float[np.ndarray, "queries 2"], lanes: MapPolylines, within_m: float
) -> tuple[Float[np.ndarray, " queries"], Bool[np.ndarray, " queries"]]:
    """The direction of the nearest polyline piece at each point, and whether one lies within the distance."""
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
