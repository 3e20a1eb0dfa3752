"""A small microscopic traffic model: vehicles that follow their lanes and each other, and pedestrians who cross.

Vehicles accelerate by the Intelligent Driver Model (Treiber, Hennecke, Helbing, Congested traffic states in empirical
observations and microscopic simulations, Phys. Rev. E 62, 2000). They enter a junction only with a granted claim
(`RightOfWay`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from perception_datasets.procedural.lane_graph import LaneGraph
from perception_datasets.procedural.pedestrians import Pedestrians
from perception_datasets.procedural.right_of_way import RightOfWay, VehicleStates
from perception_datasets.procedural.routes import COARSE_M, FINE_M, NearTable, Route, make_route, make_way

STEP_S = 0.2
_CELLS_AHEAD = 26
_STANDSTILL_GAP_M = 2.0
_HARDEST_BRAKING_MPS2 = 6.0
_ENTRY_GAP_M = 14.0


@dataclass(frozen=True)
class Vehicles:
    """Bodies and drivers of the vehicles, one row each.

    Attributes:
        routes: Route of each vehicle.
        kind: Argoverse 2's object type.
        length_m: Length of the body.
        width_m: Width of the body.
        bias_m: Distance that the driver keeps to the left of the lane's centerline.
        eagerness: Factor on the speed that the road allows.
        headway_s: Time gap to the vehicle ahead.
        acceleration_mps2: Maximum acceleration.
    """

    routes: list[Route]
    kind: list[str]
    length_m: Float[np.ndarray, " vehicles"]
    width_m: Float[np.ndarray, " vehicles"]
    bias_m: Float[np.ndarray, " vehicles"]
    eagerness: Float[np.ndarray, " vehicles"]
    headway_s: Float[np.ndarray, " vehicles"]
    acceleration_mps2: Float[np.ndarray, " vehicles"]


@dataclass(frozen=True)
class Motion:
    """Simulated motion, every `STEP_S`.

    Attributes:
        along_m: Distance of each vehicle along its route.
        speed_mps: Speed of each vehicle.
        present: Whether each vehicle is on the road.
        walked_m: Distance of each pedestrian along their line.
    """

    along_m: Float[np.ndarray, "steps vehicles"]
    speed_mps: Float[np.ndarray, "steps vehicles"]
    present: Bool[np.ndarray, "steps vehicles"]
    walked_m: Float[np.ndarray, "steps pedestrians"]


def make_vehicles(graph: LaneGraph, table: NearTable, count: int, rng: np.random.Generator) -> Vehicles:
    """Returns random vehicles on random routes from the entries."""
    ways = [make_way(graph, int(rng.choice(graph.entries)), rng) for _ in range(count)]
    routes = {way: make_route(graph, table, way) for way in dict.fromkeys(ways)}
    kind = [str(k) for k in rng.choice(["vehicle", "bus", "motorcyclist"], p=[0.92, 0.05, 0.03], size=count)]
    size = {"vehicle": (4.7, 1.95), "bus": (11.0, 2.6), "motorcyclist": (2.2, 0.9)}
    scale = rng.uniform(0.94, 1.06, count)
    return Vehicles(
        routes=[routes[way] for way in ways],
        kind=kind,
        length_m=np.array([size[k][0] for k in kind]) * scale,
        width_m=np.array([size[k][1] for k in kind]),
        bias_m=rng.normal(0.0, 0.15, count).clip(-0.3, 0.3),
        eagerness=rng.normal(1.0, 0.12, count).clip(0.7, 1.25),
        headway_s=rng.uniform(1.0, 1.8, count),
        acceleration_mps2=rng.uniform(1.2, 2.2, count),
    )


class Traffic:
    """Simulation of vehicles and pedestrians on a lane graph."""

    def __init__(
        self, graph: LaneGraph, table: NearTable, vehicles: Vehicles, pedestrians: Pedestrians, rng: np.random.Generator
    ) -> None:
        self.vehicles, self.pedestrians = vehicles, pedestrians
        self.right_of_way = RightOfWay(graph, table, vehicles.routes, vehicles.length_m, rng)
        count = len(vehicles.routes)
        points = max(len(route.xy) for route in vehicles.routes)
        cells = -(-points // round(COARSE_M / FINE_M)) + _CELLS_AHEAD + 1
        self._near = table.near
        self._nowhere = table.nowhere
        self._xy = np.stack([_pad(route.xy, points) for route in vehicles.routes])
        self._heading = np.stack([_pad(route.heading, points) for route in vehicles.routes])
        self._speed = np.stack([_pad(route.speed_mps, points) for route in vehicles.routes])
        self._cells = np.full((count, cells), table.nowhere)
        for row, route in enumerate(vehicles.routes):
            self._cells[row, : len(route.cells)] = route.cells
        self._length = np.array([route.length_m for route in vehicles.routes])
        self._rows = np.arange(count)
        self.along = np.zeros(count)
        self.speed = np.zeros(count)
        self.present = np.zeros(count, bool)
        self.acceleration = np.zeros(count)
        self._place(rng)
        self.here = self._positions()

    def _place(self, rng: np.random.Generator) -> None:
        """Places two thirds of the vehicles on their routes where there is room; the others enter later."""
        self._waiting = list(range(len(self._rows)))
        for row in range(2 * len(self._rows) // 3):
            controls = self.vehicles.routes[row].controls
            reach = controls[0].start_m - 3.0 if controls and rng.random() < 0.7 else self._length[row] - 30.0
            self.along[row] = rng.uniform(5.0, max(6.0, reach))
            inside = any(c.start_m - 4.0 < self.along[row] < c.end_m + 6.0 for c in controls)
            if not inside and self._has_room(row, _ENTRY_GAP_M):
                self._enter(row)

    def _has_room(self, row: int, gap_m: float) -> bool:
        """Returns whether no present vehicle is within `gap_m` of where a vehicle is about to appear."""
        here = self._positions()
        return not (np.linalg.norm(here - here[row], axis=1)[self.present] < gap_m).any()

    def _enter(self, row: int) -> None:
        self.present[row] = True
        self._waiting.remove(row)
        fastest = self._speed[row, int(self.along[row] / FINE_M)]
        self.speed[row] = 0.8 * fastest * self.vehicles.eagerness[row]
        self.right_of_way.skip_passed(row, self.along[row])

    def _positions(self) -> Float[np.ndarray, "vehicles 2"]:
        """Returns the positions of the vehicles' middles."""
        fine = self.along / FINE_M
        low = np.minimum(fine.astype(int), self._xy.shape[1] - 2)
        share = (fine - low)[:, None]
        return self._xy[self._rows, low] * (1 - share) + self._xy[self._rows, low + 1] * share

    def run(self, steps: int, rng: np.random.Generator) -> Motion:
        """Simulates a number of steps and returns the motion."""
        along, speed, present, walked = [], [], [], []
        for step in range(steps):
            self._admit(rng)
            along.append(self.along.copy())
            speed.append(self.speed.copy())
            present.append(self.present.copy())
            walked.append(self.pedestrians.walked.copy())
            self._step(step * STEP_S)
        return Motion(np.array(along), np.array(speed), np.array(present), np.array(walked))

    def _admit(self, rng: np.random.Generator) -> None:
        """Lets a waiting vehicle enter now and then."""
        if self._waiting and rng.random() < 0.12:
            row = self._waiting[0]
            self.along[row] = 0.0
            if self._has_room(row, 2 * _ENTRY_GAP_M):
                self._enter(row)

    def _step(self, time_s: float) -> None:
        self.here = self._positions()
        states = VehicleStates(self.along, self.speed, self.here, self.present)
        stop_gap = self.right_of_way.step(time_s, states, self.pedestrians.blocked_crosswalks())
        self.pedestrians.step(STEP_S, self.right_of_way.claimed_crosswalks())
        gap, leader_speed = self._leaders()
        wanted = self._accelerate(gap, leader_speed, stop_gap)
        change = np.clip(wanted - self.acceleration, -8.0 * STEP_S, 4.0 * STEP_S)  # pedals do not move instantly
        self.acceleration = np.clip(self.acceleration + change, -_HARDEST_BRAKING_MPS2, None)
        after = np.maximum(self.speed + self.acceleration * STEP_S, 0.0)
        self.acceleration = (after - self.speed) / STEP_S
        self.along += np.where(self.present, (self.speed + after) / 2 * STEP_S, 0.0)
        self.speed = np.where(self.present, after, 0.0)
        gone = self.present & (self.along > self._length - 1.0)
        self.present[gone] = False
        self.along = np.minimum(self.along, self._length - 1.0)

    def _accelerate(
        self,
        gap: Float[np.ndarray, " vehicles"],
        leader_speed: Float[np.ndarray, " vehicles"],
        stop_gap: Float[np.ndarray, " vehicles"],
    ) -> Float[np.ndarray, " vehicles"]:
        """Returns accelerations by the Intelligent Driver Model; a stop line counts as a standing vehicle."""
        drivers = self.vehicles
        allowed = self._speed[self._rows, (self.along / FINE_M).astype(int)]
        free = 1.0 - (self.speed / np.maximum(allowed * drivers.eagerness, 0.5)) ** 4
        strongest = np.zeros_like(gap)
        for distance, other_speed in ((gap, leader_speed), (stop_gap, np.zeros_like(gap))):
            closing = self.speed * (self.speed - other_speed) / (2 * np.sqrt(drivers.acceleration_mps2 * 2.0))
            desired = _STANDSTILL_GAP_M + np.maximum(self.speed * drivers.headway_s + closing, 0.0)
            strongest = np.maximum(strongest, (desired / np.maximum(distance, 0.1)) ** 2)
        return drivers.acceleration_mps2 * (np.maximum(free, -2.0) - strongest)

    def _leaders(self) -> tuple[Float[np.ndarray, " vehicles"], Float[np.ndarray, " vehicles"]]:
        """Returns each vehicle's gap to the first vehicle ahead on its route, and that vehicle's speed along it."""
        gap, leader_speed = np.full(len(self._rows), np.inf), np.zeros(len(self._rows))
        rows = np.flatnonzero(self.present)
        if rows.size == 0:
            return gap, leader_speed
        cell = (self.along[rows] / COARSE_M).astype(int)
        ahead = self._cells[rows[:, None], cell[:, None] + np.arange(_CELLS_AHEAD)]
        hits = self._near[ahead[:, :, None], self._cells[rows, cell]]
        hits[np.arange(len(rows)), :, np.arange(len(rows))] = False
        first, any_hit = hits.argmax(axis=1), hits.any(axis=1)

        fine = np.minimum((cell[:, None] + first) * round(COARSE_M / FINE_M), self._xy.shape[1] - 1)
        tangent = self._heading[rows[:, None], fine]
        offset = self.here[rows] - self._xy[rows[:, None], fine]
        along = fine * FINE_M - self.along[rows, None]
        along = along + offset[..., 0] * np.cos(tangent) + offset[..., 1] * np.sin(tangent)
        seen = any_hit & (along > 0.5)
        both = seen & seen.T  # where two lanes merge, each is ahead of the other; the one farther away gives way
        seen &= ~(both & ((along < along.T) | ((along == along.T) & (rows[:, None] < rows))))

        half_length = self.vehicles.length_m[rows] / 2
        free = np.where(seen, along - half_length[:, None] - half_length, np.inf)
        leader = free.argmin(axis=1)
        facing = self._heading[rows, (self.along[rows] / FINE_M).astype(int)]
        same_way = np.maximum(np.cos(facing[leader] - facing), 0.0)
        gap[rows], leader_speed[rows] = free[np.arange(len(rows)), leader], self.speed[rows][leader] * same_way
        return gap, leader_speed


def _pad(values: Float[np.ndarray, "points ..."], count: int) -> Float[np.ndarray, "count ..."]:
    return np.concatenate([values, np.repeat(values[-1:], count - len(values), axis=0)])


def poses(
    vehicles: Vehicles, along_m: Float[np.ndarray, "steps vehicles"]
) -> tuple[Float[np.ndarray, "vehicles steps 2"], Float[np.ndarray, "vehicles steps"]]:
    """Returns positions and headings of vehicles at distances along their routes."""
    position, heading = [], []
    for route, along, bias in zip(vehicles.routes, along_m.T, vehicles.bias_m, strict=True):
        grid = np.arange(len(route.xy)) * FINE_M
        direction = np.interp(along, grid, route.heading)
        middle = np.stack([np.interp(along, grid, route.xy[:, axis]) for axis in range(2)], axis=1)
        position.append(middle + bias * np.stack([-np.sin(direction), np.cos(direction)], axis=1))
        heading.append(direction)
    return np.array(position), np.array(heading)
