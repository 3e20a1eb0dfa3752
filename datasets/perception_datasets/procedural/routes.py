"""Routes through a lane graph, sampled so that a time step of the traffic is a few array look-ups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from perception_datasets.argoverse.polylines import resample
from perception_datasets.procedural.curves import length_of
from perception_datasets.procedural.lane_graph import LaneGraph, LaneSegment

FINE_M = 0.5
COARSE_M = 2.0
NEAR_M = 2.7
"""Map points closer than this are in each other's way: less than the width of a lane, more than that of a car."""

LATERAL_ACCELERATION_MPS2 = 2.0
COMFORTABLE_BRAKING_MPS2 = 1.6


@dataclass(frozen=True)
class Control:
    """A segment on a route that needs the right of way.

    Attributes:
        segment: Controlled segment.
        start_m: Distance from the start of the route to the start of the segment.
        end_m: Distance from the start of the route to the end of the segment.
    """

    segment: LaneSegment
    start_m: float
    end_m: float


@dataclass(frozen=True)
class Route:
    """A route from an entry to the edge of the map.

    Attributes:
        xy: Points every `FINE_M`.
        heading: Direction of the tangent at these points, unwrapped.
        speed_mps: Maximum speed at these points that curves, limits and comfortable braking allow.
        cells: Index of the map point of `NearTable` that represents each point every `COARSE_M`.
        controls: Segments that need the right of way, in order.
    """

    xy: Float[np.ndarray, "points 2"]
    heading: Float[np.ndarray, " points"]
    speed_mps: Float[np.ndarray, " points"]
    cells: Int[np.ndarray, " cells"]
    controls: tuple[Control, ...]

    @property
    def length_m(self) -> float:
        """Length of the route in metres."""
        return (len(self.xy) - 1) * FINE_M


class NearTable:
    """Table of which map points are near each other.

    Attributes:
        cells: Rows of the points of each segment, by the segment's id.
        points: Map points: about every `COARSE_M` on all segments.
        nowhere: Index that is near no point, for positions beyond the end of a route.
        near: Whether two map points are closer than `NEAR_M`.
    """

    def __init__(self, graph: LaneGraph) -> None:
        self.cells: dict[int, slice] = {}
        points = []
        count = 0
        for segment in graph.segments.values():
            pieces = max(1, round(length_of(segment.centerline) / COARSE_M))
            sampled = resample(segment.centerline, np.array([len(segment.centerline)]), pieces + 1)[0]
            self.cells[segment.id] = slice(count, count + len(sampled))
            count += len(sampled)
            points.append(sampled)
        self.points: Float[np.ndarray, "cells 2"] = np.concatenate(points)
        self.nowhere = count
        self.near: Bool[np.ndarray, "cells_and_one cells_and_one"] = np.zeros((count + 1, count + 1), bool)
        x, y = self.points.T.astype(np.float32)
        self.near[:-1, :-1] = (x[:, None] - x) ** 2 + (y[:, None] - y) ** 2 < NEAR_M**2

    def conflicts(self, graph: LaneGraph) -> dict[int, frozenset[int]]:
        """Returns for each controlled segment those of the same junction that come near it from another lane."""
        controlled = [segment for segment in graph.segments.values() if segment.junction is not None]
        return {
            one.id: frozenset(
                other.id
                for other in controlled
                if one.junction == other.junction
                and one.predecessors[0] != other.predecessors[0]
                and self.near[self.cells[one.id], self.cells[other.id]].any()
            )
            for one in controlled
        }


def make_way(graph: LaneGraph, start: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Returns segments from `start` to the edge of the map, with a random choice wherever the road divides."""
    way = [start]
    while graph.segments[way[-1]].successors:
        way.append(int(rng.choice(graph.segments[way[-1]].successors)))
    return tuple(way)


def make_route(graph: LaneGraph, table: NearTable, segments: tuple[int, ...]) -> Route:
    """Returns the route along these segments."""
    way = [graph.segments[segment] for segment in segments]
    lengths = np.array([length_of(segment.centerline) for segment in way])
    ends = np.cumsum(lengths)
    starts = ends - lengths
    xy = _sample(np.concatenate([way[0].centerline[:1], *(segment.centerline[1:] for segment in way)]))
    along = np.arange(len(xy)) * FINE_M
    on = np.minimum(np.searchsorted(ends, along, side="right"), len(way) - 1)

    tangent = np.gradient(xy, axis=0)
    heading = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    curvature = np.abs(np.gradient(heading, FINE_M))
    limit = np.array([segment.speed_limit_mps for segment in way])[on]
    speed = np.minimum(limit, np.sqrt(LATERAL_ACCELERATION_MPS2 / np.maximum(curvature, 1e-3)))
    controls = tuple(
        Control(segment, float(start), float(end))
        for segment, start, end in zip(way, starts, ends, strict=True)
        if segment.junction is not None
    )
    coarse = slice(None, None, round(COARSE_M / FINE_M))
    share = (along[coarse] - starts[on[coarse]]) / lengths[on[coarse]]
    cells = _cells(table, way, on[coarse], share)
    return Route(xy, heading, _with_room_to_brake(speed, along), cells, controls)


def _cells(
    table: NearTable, way: list[LaneSegment], on: Int[np.ndarray, " cells"], share: Float[np.ndarray, " cells"]
) -> Int[np.ndarray, " cells"]:
    """Returns the map points that represent points on a route, given by segment and share of the segment's length."""
    first = np.array([table.cells[segment.id].start for segment in way])[on]
    last = np.array([table.cells[segment.id].stop for segment in way])[on] - 1
    return np.clip(first + np.rint(share * (last - first)).astype(int), first, last)


def _with_room_to_brake(
    speed: Float[np.ndarray, " points"], along: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    """Lowers a speed profile so that all later limits can be met with comfortable braking."""
    energy = speed**2 + 2 * COMFORTABLE_BRAKING_MPS2 * along
    reachable = np.minimum.accumulate(energy[::-1])[::-1]
    return np.sqrt(np.maximum(reachable - 2 * COMFORTABLE_BRAKING_MPS2 * along, 0.25))


def _sample(line: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "samples 2"]:
    """Returns points every `FINE_M` along a line, from its start."""
    travelled = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    wanted = np.arange(int(travelled[-1] / FINE_M) + 1) * FINE_M
    return np.stack([np.interp(wanted, travelled, line[:, axis]) for axis in range(2)], axis=1)
