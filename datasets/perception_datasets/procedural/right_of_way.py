"""Right of way at junctions: signals, stop signs, priority, and claims that keep crossing paths apart."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from perception_datasets.procedural.lane_graph import LaneGraph, Rule
from perception_datasets.procedural.routes import FINE_M, Control, NearTable, Route

_CREEPING_MPS = 5.0  # mean speed of a vehicle that crosses from standstill
_MARGIN_S = 1.0
_MERGE_MARGIN_M = 12.0
_ALL_RED_S = 2.5


@dataclass(frozen=True)
class VehicleStates:
    """All vehicles at one time step.

    Attributes:
        along_m: Distance of the vehicle's middle from the start of its route.
        speed_mps: Speed along the route.
        position: Position of the middle, metres.
        present: Whether the vehicle is on the road.
    """

    along_m: Float[np.ndarray, " vehicles"]
    speed_mps: Float[np.ndarray, " vehicles"]
    position: Float[np.ndarray, "vehicles 2"]
    present: Bool[np.ndarray, " vehicles"]


class RightOfWay:
    """Claims of vehicles on controlled segments.

    A vehicle claims a segment before it enters it, and releases it when its tail has left. A claim is granted if the
    signal is green, the vehicle has stopped where it must, no conflicting segment is claimed, no vehicle with priority
    is about to arrive, no pedestrian blocks a crosswalk of the segment, and there is room behind the junction.

    Attributes:
        claims: Vehicles that hold a claim on each segment, by the segment's id.
    """

    def __init__(
        self,
        graph: LaneGraph,
        table: NearTable,
        routes: Sequence[Route],
        length_m: Float[np.ndarray, " vehicles"],
        rng: np.random.Generator,
    ) -> None:
        self._rules = graph.rules
        self._conflicts = table.conflicts(graph)
        self._crosswalks = {
            segment: [i for i, walk in enumerate(graph.crosswalks) if segment in walk.crossed_by]
            for segment in graph.segments
        }
        self._green_s = rng.uniform(8.0, 18.0, len(graph.rules))
        self._phase_s = rng.uniform(0.0, 40.0, len(graph.rules))
        self._routes = routes
        self._length_m = length_m
        self._next = [0] * len(routes)
        self._stopped = [False] * len(routes)
        self.claims: dict[int, set[int]] = {}

    def skip_passed(self, vehicle: int, along_m: float) -> None:
        """Skips the controls behind a vehicle that starts in the middle of its route."""
        controls = self._routes[vehicle].controls
        while self._next[vehicle] < len(controls) and controls[self._next[vehicle]].end_m < along_m:
            self._next[vehicle] += 1

    def claimed_crosswalks(self) -> set[int]:
        """Returns the crosswalks on claimed segments, which pedestrians must not enter."""
        return {
            crosswalk for segment, holders in self.claims.items() if holders for crosswalk in self._crosswalks[segment]
        }

    def step(
        self, time_s: float, states: VehicleStates, blocked_crosswalks: Set[int]
    ) -> Float[np.ndarray, " vehicles"]:
        """Grants and releases claims; returns each vehicle's distance to the line where it must stop, or infinity."""
        gap = np.full(len(self._routes), np.inf)
        coming = self._coming(states)
        for vehicle, control in sorted(coming.items(), key=lambda item: item[1].start_m - states.along_m[item[0]]):
            front = states.along_m[vehicle] + self._length_m[vehicle] / 2
            distance = control.start_m - front
            speed = states.speed_mps[vehicle]
            holders = self.claims.setdefault(control.segment.id, set())
            if vehicle in holders or distance > speed**2 / 3.0 + 12.0:
                continue
            self._stopped[vehicle] |= distance < 4.0 and speed < 0.4
            if distance < -2.0 or self._may_claim(vehicle, control, time_s, states, coming, blocked_crosswalks):
                holders.add(vehicle)
            else:
                gap[vehicle] = max(distance, 0.1) + 1.0
        return gap

    def _coming(self, states: VehicleStates) -> dict[int, Control]:
        """Returns the next control of each vehicle; releases the claims of vehicles that have passed."""
        coming = {}
        for vehicle in np.flatnonzero(states.present | (np.array(self._next) > 0)).tolist():
            controls = self._routes[vehicle].controls
            index = self._next[vehicle]
            if index == len(controls):
                continue
            tail = states.along_m[vehicle] - self._length_m[vehicle] / 2
            if tail > controls[index].end_m or not states.present[vehicle]:
                self.claims.get(controls[index].segment.id, set()).discard(vehicle)
                self._next[vehicle] += 1
                self._stopped[vehicle] = False
            else:
                coming[vehicle] = controls[index]
        return coming

    def _may_claim(
        self,
        vehicle: int,
        control: Control,
        time_s: float,
        states: VehicleStates,
        coming: dict[int, Control],
        blocked_crosswalks: Set[int],
    ) -> bool:
        segment = control.segment
        junction = segment.junction
        assert junction is not None
        rule = self._rules[junction]
        if rule is Rule.SIGNAL and not self._green(junction, segment.arm, time_s):
            return False
        if rule is Rule.ALL_WAY_STOP and segment.is_intersection and not self._stopped[vehicle]:
            return False
        if not blocked_crosswalks.isdisjoint(self._crosswalks[segment.id]):
            return False
        if not self._has_room_behind(vehicle, control, states):
            return False
        to_clear_m = control.end_m + self._length_m[vehicle] / 2 - states.along_m[vehicle]
        to_clear_s = to_clear_m / max(states.speed_mps[vehicle], _CREEPING_MPS)
        conflicts = self._conflicts[segment.id]
        for other, other_control in coming.items():
            crossing = other_control.segment
            if other == vehicle or crossing.id not in conflicts:
                continue
            to_end = other_control.end_m - states.along_m[other]
            merges = crossing.successors == segment.successors
            if merges and to_end < control.end_m - states.along_m[vehicle] - _MERGE_MARGIN_M:
                continue
            if other in self.claims.get(crossing.id, ()):
                return False
            if crossing.priority > segment.priority and self._arrives_within(
                to_clear_s + _MARGIN_S, other, other_control, time_s, states
            ):
                return False
        return True

    def _arrives_within(
        self, wait_s: float, vehicle: int, control: Control, time_s: float, states: VehicleStates
    ) -> bool:
        """Returns whether another vehicle that need not stop would reach its own line within `wait_s`."""
        junction = control.segment.junction
        assert junction is not None
        if self._rules[junction] is Rule.ALL_WAY_STOP:
            return False
        if self._rules[junction] is Rule.SIGNAL and not self._green(junction, control.segment.arm, time_s):
            return False
        distance = control.start_m - states.along_m[vehicle]
        return bool(distance < max(states.speed_mps[vehicle], 2.0) * wait_s)

    def _has_room_behind(self, vehicle: int, control: Control, states: VehicleStates) -> bool:
        """Returns False if a slow vehicle just behind the segment would make this one stop inside the junction."""
        xy = self._routes[vehicle].xy
        point = xy[min(int((control.end_m + 5.0) / FINE_M), len(xy) - 1)]
        near = np.linalg.norm(states.position - point, axis=1) < 6.0
        near[vehicle] = False
        return not bool((near & states.present & (states.speed_mps < 2.0)).any())

    def _green(self, junction: int, arm: int, time_s: float) -> bool:
        """Returns whether an arm has green: even and odd arms alternate, with an all-red phase in between."""
        half = self._green_s[junction] + _ALL_RED_S
        phase = (time_s + self._phase_s[junction]) % (2 * half)
        start = 0.0 if arm % 2 == 0 else half
        return bool(start <= phase < start + self._green_s[junction])
