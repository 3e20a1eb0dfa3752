"""Chooses the polylines of a map that are near the agents; used by file readers and by nodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.traffic.scenario import MapPolylines

MAP_RADIUS_M = 100.0
"""A scenario's map holds polylines within this distance of its focal agent."""
_COMPARED_AT_ONCE = 4_000_000
"""Number of pairs of a point and an agent; some 30 MB. Those of a recorded scenario are fewer."""

MAX_CANDIDATES = 1024
"""Maximum number of polylines around a focal agent; within 150 m Argoverse 1's Miami has up to 453."""


def take(polylines: MapPolylines, rows: Int[np.ndarray, " chosen"]) -> MapPolylines:
    """Returns the chosen polylines of a map."""
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
    """All polylines of a city or log, from which a scenario takes those near its agents."""

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
        """Returns the polylines whose indices `rows_near` returns."""
        return take(self.polylines, self.rows_near(position, valid, focal, present, radius_m))

    def rows_near(
        self,
        position: Float[np.ndarray, "agents steps 2"],
        valid: Bool[np.ndarray, "agents steps"],
        focal: int,
        present: int,
        radius_m: float = MAP_RADIUS_M,
    ) -> Int[np.ndarray, " near"]:
        """Returns the indices of the polylines near the agents at the present step.

        At most `MAX_CANDIDATES` are looked at, those nearest to the focal agent, so that no map makes a scenario large.
        A polyline is kept when one of its points lies within `radius_m` (the larger of |Δx| and |Δy|) of the focal
        agent, or within half of that of any other agent that is seen at the present step and is itself within
        `radius_m` of the focal agent. Later steps are ignored, so that a test record gets the same map.
        """
        centre = position[focal, last_seen(valid, present)[focal]]
        low, high = self._corners
        reach_m = 1.5 * radius_m
        away_m = np.maximum(low - centre, centre - high).max(axis=1)
        rows = np.flatnonzero(away_m <= reach_m)
        if len(rows) > MAX_CANDIDATES:
            rows = np.sort(rows[np.argsort(away_m[rows], kind="stable")[:MAX_CANDIDATES]])
        points = self.polylines.points[rows]

        others = position[valid[:, present], present]
        others = others[np.abs(others - centre).max(axis=1) <= radius_m]
        near = _within(points, centre[None], radius_m) | _within(points, others, radius_m / 2)
        return rows[near]


def _within(
    points: Float[np.ndarray, "lanes points 2"], centres: Float[np.ndarray, "centres 2"], radius_m: float
) -> Bool[np.ndarray, " lanes"]:
    """Returns whether any point of a polyline is within the radius (Chebyshev) of any centre."""
    near = np.zeros(len(points), bool)
    lanes = max(1, _COMPARED_AT_ONCE // max(1, points.shape[1] * len(centres)))
    for start in range(0, len(points), lanes):
        x, y = (points[start : start + lanes, :, axis, None] for axis in (0, 1))
        within = (np.abs(x - centres[:, 0]) <= radius_m) & (np.abs(y - centres[:, 1]) <= radius_m)
        near[start : start + lanes] = within.any(axis=(1, 2))
    return near


def last_seen(valid: Bool[np.ndarray, "agents steps"], present: int) -> Int[np.ndarray, " agents"]:
    """Returns each agent's last observed step up to the present; its first step if it appears only later."""
    latest = present - valid[:, present::-1].argmax(axis=1)
    return np.where(valid[:, : present + 1].any(axis=1), latest, valid.argmax(axis=1))
