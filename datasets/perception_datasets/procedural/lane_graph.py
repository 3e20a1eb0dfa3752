"""Random road networks of lane segments with curved roads, four-way junctions, T junctions and merges."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from perception_datasets.procedural.curves import bezier, offset, road_axis, split

LANE_WIDTH_M = 3.5
SPLIT_LENGTH_M = 40.0


class Priority(IntEnum):
    """Right of way at a conflict: the greater value goes first."""

    MINOR = 0
    LEFT_TURN = 1
    MAJOR = 2


class Rule(IntEnum):
    """How a junction is controlled."""

    PRIORITY = 0
    ALL_WAY_STOP = 1
    SIGNAL = 2


@dataclass
class LaneSegment:
    """A lane segment, described as in Argoverse 2's maps.

    Attributes:
        id: Id of the segment.
        centerline: Points in driving direction, about a metre apart.
        speed_limit_mps: Speed that drivers aim at where curvature allows it.
        is_intersection: Whether it is inside a junction.
        predecessors: Ids of the segments that lead to it.
        successors: Ids of the segments that it leads to.
        left_neighbor: Id of the segment to the left in the same direction, or None.
        right_neighbor: Id of the segment to the right in the same direction, or None.
        left_mark: Argoverse 2's type of the marking on the left.
        right_mark: Argoverse 2's type of the marking on the right.
        junction: Index of the junction whose right of way controls the entry to this segment, or None.
        arm: Index of the arm of that junction from which it comes.
        priority: Right of way among the segments of the junction.
    """

    id: int
    centerline: Float[np.ndarray, "points 2"]
    speed_limit_mps: float = 13.0
    is_intersection: bool = False
    predecessors: list[int] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)
    left_neighbor: int | None = None
    right_neighbor: int | None = None
    left_mark: str = "NONE"
    right_mark: str = "NONE"
    junction: int | None = None
    arm: int = 0
    priority: Priority = Priority.MAJOR


@dataclass(frozen=True)
class Crosswalk:
    """A crosswalk: its axis from kerb to kerb, and the ids of the controlled segments that it crosses."""

    id: int
    axis: Float[np.ndarray, "2 2"]
    width_m: float
    crossed_by: tuple[int, ...]


@dataclass
class Arm:
    """End of a road at a junction.

    Attributes:
        arriving: Ids of the lanes that lead to the junction, from the median outwards.
        leaving: Ids of the lanes that lead away from it, from the median outwards.
        mouth: End of the road's axis.
        outward_rad: Direction of the axis away from the junction.
        half_width_m: Distance from the axis to the farther kerb.
    """

    arriving: list[int]
    leaving: list[int]
    mouth: Float[np.ndarray, " 2"]
    outward_rad: float
    half_width_m: float


@dataclass
class LaneGraph:
    """A road network.

    Attributes:
        segments: Lane segments by id.
        crosswalks: All crosswalks.
        entries: Ids of the segments where traffic enters from outside.
        rules: Type of control of each junction.
        road_areas: Polygons of the drivable area.
        kerbs: Lines beside the outermost lanes, in the direction of the lane; cars park and people walk along them.
    """

    segments: dict[int, LaneSegment] = field(default_factory=dict)
    crosswalks: list[Crosswalk] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    road_areas: list[Float[np.ndarray, "points 2"]] = field(default_factory=list)
    kerbs: list[Float[np.ndarray, "points 2"]] = field(default_factory=list)

    def add(self, centerline: Float[np.ndarray, "points 2"], **attributes: object) -> int:
        """Adds a segment; returns its id."""
        segment = LaneSegment(1000 + len(self.segments), centerline, **attributes)  # pyright: ignore[reportArgumentType]
        self.segments[segment.id] = segment
        return segment.id

    def connect(self, before: int, after: int) -> None:
        """Makes one segment the successor of another."""
        self.segments[before].successors.append(after)
        self.segments[after].predecessors.append(before)


def make_lane_graph(rng: np.random.Generator) -> LaneGraph:
    """Returns a random network: one junction, two junctions with a road between them, or a road with a merging ramp."""
    graph = LaneGraph()
    layout = rng.choice(["cross", "tee", "pair", "merge"], p=[0.35, 0.2, 0.25, 0.2])
    if layout == "merge":
        _add_merge(graph, rng)
        return graph
    centre = np.zeros(2)
    if layout == "pair":
        lanes = int(rng.integers(1, 3))
        axis = road_axis(np.array([20.0, 0.0]), 0.0, rng.uniform(70, 110), rng.uniform(-0.5, 0.5))
        near, far = _add_road(graph, axis, lanes, lanes, rng, entries=False)
        far_centre = far.mouth - 20.0 * np.array([np.cos(far.outward_rad), np.sin(far.outward_rad)])
        _add_junction(graph, centre, rng, [near], four_way=bool(rng.random() < 0.5))
        _add_junction(graph, far_centre, rng, [far], four_way=bool(rng.random() < 0.5))
    else:
        _add_junction(graph, centre, rng, [], four_way=layout == "cross")
    return graph


def _add_road(
    graph: LaneGraph,
    axis: Float[np.ndarray, "points 2"],
    lanes_out: int,
    lanes_in: int,
    rng: np.random.Generator,
    *,
    entries: bool = True,
) -> tuple[Arm, Arm]:
    """Adds a road with lanes on both sides of an axis; returns its arms at the start and the end of the axis."""
    limit = float(rng.uniform(9.0, 16.0))
    pieces = split(axis, SPLIT_LENGTH_M)
    out = [[_add_lane(graph, piece, i, limit) for i in range(lanes_out)] for piece in pieces]
    back = [[_add_lane(graph, piece[::-1], i, limit) for i in range(lanes_in)] for piece in pieces[::-1]]
    for way in (out, back):
        for before, after in pairwise(way):
            for left, right in zip(before, after, strict=True):
                graph.connect(left, right)
        for lanes in way:
            _mark_neighbors(graph, lanes, two_way=lanes_out > 0 and lanes_in > 0)
    if entries and back[0]:
        graph.entries += back[0]
    right, left = lanes_out * LANE_WIDTH_M, lanes_in * LANE_WIDTH_M
    graph.road_areas.append(np.concatenate([offset(axis, -right - 3.0), offset(axis, left + 3.0)[::-1]]))
    if lanes_out:
        graph.kerbs.append(offset(axis, -right))
    if lanes_in:
        graph.kerbs.append(offset(axis, left)[::-1])
    half_width = max(right, left)
    return (
        Arm(back[-1], out[0], axis[0], _direction(axis[1] - axis[0]), half_width),
        Arm(out[-1], back[0], axis[-1], _direction(axis[-2] - axis[-1]), half_width),
    )


def _add_lane(graph: LaneGraph, axis: Float[np.ndarray, "points 2"], index: int, limit_mps: float) -> int:
    """Adds a lane to the right of an axis, with lane 0 next to the median; returns its id."""
    return graph.add(offset(axis, -(index + 0.5) * LANE_WIDTH_M), speed_limit_mps=limit_mps)


def _mark_neighbors(graph: LaneGraph, lanes: list[int], *, two_way: bool) -> None:
    for index, lane in enumerate(lanes):
        segment = graph.segments[lane]
        segment.left_neighbor = lanes[index - 1] if index else None
        segment.right_neighbor = lanes[index + 1] if index + 1 < len(lanes) else None
        segment.left_mark = "DASHED_WHITE" if index else ("DOUBLE_SOLID_YELLOW" if two_way else "SOLID_YELLOW")
        segment.right_mark = "DASHED_WHITE" if index + 1 < len(lanes) else "SOLID_WHITE"


def _add_junction(
    graph: LaneGraph, centre: Float[np.ndarray, " 2"], rng: np.random.Generator, arms: list[Arm], *, four_way: bool
) -> None:
    """Adds a junction: first the missing arms, then the turns and crosswalks of all arms."""
    first = arms[0].outward_rad if arms else rng.uniform(-np.pi, np.pi)
    bearings = (
        [0.0, 0.5, 1.0, 1.5] if four_way else [[0.0, 0.5, 1.0], [0.0, 1.0, 1.5], [0.0, 0.5, 1.5]][rng.integers(3)]
    )
    lanes = len(arms[0].leaving) if arms else int(rng.integers(1, 3))
    for bearing in bearings[len(arms) :]:
        heading = first + bearing * np.pi + rng.uniform(-0.15, 0.15)
        count = lanes if bearing == 1.0 else int(rng.integers(1, 3))
        start = centre + 20.0 * np.array([np.cos(heading), np.sin(heading)])
        turn = rng.uniform(-0.6, 0.6) if rng.random() < 0.7 else 0.0
        arms.append(_add_road(graph, road_axis(start, heading, rng.uniform(90, 130), turn), count, count, rng)[0])
    junction = len(graph.rules)
    shares = [0.2, 0.25, 0.55] if four_way else [0.6, 0.2, 0.2]
    rule = Rule(rng.choice([Rule.PRIORITY, Rule.ALL_WAY_STOP, Rule.SIGNAL], p=shares))
    graph.rules.append(rule)
    for here, arm in enumerate(arms):
        for there, other in enumerate(arms):
            if here != there:
                _add_turn(graph, junction, here, arm, other, minor=rule is Rule.PRIORITY and _is_minor(here, arms))
    for index in range(len(arms)):
        if rng.random() < 0.8:
            _add_crosswalk(graph, junction, arms, index)
    graph.road_areas.append(_junction_area(arms))


def _is_minor(index: int, arms: list[Arm]) -> bool:
    """Returns whether an arm is the stem of a T, or one of the second pair of a cross."""
    opposite = [abs(_wrap(arms[index].outward_rad - other.outward_rad)) > 2.4 for other in arms]
    return not any(opposite) or (len(arms) == 4 and index % 2 == 1)


def _add_turn(graph: LaneGraph, junction: int, index: int, arm: Arm, other: Arm, *, minor: bool) -> None:
    """Connects the lanes of two arms: the leftmost lanes for a left turn, the rightmost for a right turn, else all."""
    angle = _wrap(other.outward_rad - arm.outward_rad - np.pi)
    if abs(angle) < 0.7:
        pairs = [(i, min(i, len(other.leaving) - 1)) for i in range(len(arm.arriving))]
    elif angle > 0:
        pairs = [(0, 0)]
    else:
        pairs = [(len(arm.arriving) - 1, len(other.leaving) - 1)]
    priority = Priority.MINOR if minor else (Priority.LEFT_TURN if angle > 0.7 else Priority.MAJOR)
    for i, j in pairs:
        before, after = graph.segments[arm.arriving[i]], graph.segments[other.leaving[j]]
        _connect_through(graph, before, after, junction=junction, arm=index, priority=priority, is_intersection=True)


def _connect_through(graph: LaneGraph, before: LaneSegment, after: LaneSegment, **attributes: object) -> int:
    """Adds a segment that leads from the end of one segment to the start of another; returns its id."""
    start, end = before.centerline, after.centerline
    curve = bezier(start[-1], start[-1] - start[-2], end[0], end[1] - end[0])
    middle = graph.add(curve, speed_limit_mps=before.speed_limit_mps, **attributes)
    graph.connect(before.id, middle)
    graph.connect(middle, after.id)
    return middle


def _add_crosswalk(graph: LaneGraph, junction: int, arms: list[Arm], index: int) -> None:
    """Adds a crosswalk over an arm, 3 m beyond its stop line."""
    arm = arms[index]
    outward = np.array([np.cos(arm.outward_rad), np.sin(arm.outward_rad)])
    left = np.array([-outward[1], outward[0]])
    middle = arm.mouth - 3.0 * outward
    reach = arm.half_width_m + 0.5
    crossed = tuple(
        s.id
        for s in graph.segments.values()
        if s.junction == junction and (s.predecessors[0] in arm.arriving or s.successors[0] in arm.leaving)
    )
    axis = np.stack([middle - reach * left, middle + reach * left])
    graph.crosswalks.append(Crosswalk(9000 + len(graph.crosswalks), axis, 3.0, crossed))


def _junction_area(arms: list[Arm]) -> Float[np.ndarray, "points 2"]:
    """Returns the polygon through the kerb corners of all arms."""
    corners = []
    for arm in sorted(arms, key=lambda arm: arm.outward_rad % (2 * np.pi)):
        left = np.array([-np.sin(arm.outward_rad), np.cos(arm.outward_rad)])
        corners += [arm.mouth - (arm.half_width_m + 3.0) * left, arm.mouth + (arm.half_width_m + 3.0) * left]
    return np.array(corners)


def _add_merge(graph: LaneGraph, rng: np.random.Generator) -> None:
    """Adds a curved two-way road whose right lane is joined by a ramp."""
    heading = rng.uniform(-np.pi, np.pi)
    lanes = int(rng.integers(1, 3))
    axis = road_axis(np.zeros(2), heading, 240.0, rng.uniform(-0.7, 0.7))
    near, _ = _add_road(graph, axis, lanes, lanes, rng)
    graph.entries += near.leaving
    before = graph.segments[near.leaving[-1]]
    shared = graph.segments[graph.segments[before.successors[0]].successors[0]]
    after = graph.segments[shared.successors[0]]

    junction = len(graph.rules)
    graph.rules.append(Rule.PRIORITY)
    shared.junction, shared.arm, shared.priority = junction, 0, Priority.MAJOR

    direction = _direction(shared.centerline[1] - shared.centerline[0])
    right = np.array([np.sin(direction), -np.cos(direction)])
    gore = shared.centerline[0] + 7.0 * right
    ramp_axis = road_axis(gore, direction + np.pi + 0.18, 90.0, rng.uniform(0.1, 0.6))
    arm, _ = _add_road(graph, ramp_axis, 0, 1, rng)
    _connect_through(graph, graph.segments[arm.arriving[0]], after, junction=junction, arm=1, priority=Priority.MINOR)
    graph.kerbs.clear()  # a motorway has neither pavement nor parked cars
    graph.road_areas.append(np.stack([gore, *shared.centerline[[0, -1]], gore + 2 * right]))


def _direction(vector: Float[np.ndarray, " 2"]) -> float:
    return float(np.arctan2(vector[1], vector[0]))


def _wrap(angle_rad: float) -> float:
    return float((angle_rad + np.pi) % (2 * np.pi) - np.pi)
