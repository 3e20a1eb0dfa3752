"""Exact motion of all agents in an interval of simulated traffic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from perception.traffic.scenario import STEP_S
from perception_datasets.argoverse.argoverse2 import FUTURE_STEPS, HISTORY_STEPS
from perception_datasets.procedural.curves import offset
from perception_datasets.procedural.lane_graph import LaneGraph
from perception_datasets.procedural.pedestrians import Pedestrians
from perception_datasets.procedural.routes import NearTable
from perception_datasets.procedural.traffic import STEP_S as TRAFFIC_STEP_S
from perception_datasets.procedural.traffic import Motion, Vehicles, poses

STEPS = HISTORY_STEPS + FUTURE_STEPS


class Unusable(Exception):
    """Raised for traffic that makes no scenario: nobody to forecast, a collision, or an implausible acceleration."""


@dataclass(frozen=True)
class Truth:
    """Exact motion of all agents at 10 Hz, one row per agent.

    Attributes:
        kinds: Argoverse 2's object types.
        size: Length and width, metres.
        position: Positions of the middles, metres.
        heading: Headings, radians.
        velocity: Velocities, m/s.
        present: Whether the agent exists at each step.
    """

    kinds: list[str]
    size: Float[np.ndarray, "agents 2"]
    position: Float[np.ndarray, "agents steps 2"]
    heading: Float[np.ndarray, "agents steps"]
    velocity: Float[np.ndarray, "agents steps 2"]
    present: Bool[np.ndarray, "agents steps"]


def true_motion(
    graph: LaneGraph,
    table: NearTable,
    vehicles: Vehicles,
    pedestrians: Pedestrians,
    motion: Motion,
    rng: np.random.Generator,
) -> Truth:
    """Returns the last 11 s of simulated traffic at 10 Hz, with parked cars added beside the road."""
    along, speed, present, walked = _at_10_hz(motion)
    driving = poses(vehicles, along)
    walking = pedestrians.poses(walked)
    parked = _parked(graph, table, rng)
    forward = np.stack([np.cos(driving[1]), np.sin(driving[1])], axis=2)
    position = np.concatenate([driving[0], walking[0], parked[0]])
    people, cars = len(walking[0]), len(parked[0])
    return Truth(
        kinds=[*vehicles.kind, *["pedestrian"] * people, *["vehicle"] * cars],
        size=np.concatenate(
            [
                np.stack([vehicles.length_m, vehicles.width_m], axis=1),
                np.full((people, 2), 0.6),
                np.tile([4.6, 1.9], (cars, 1)),
            ]
        ),
        position=position,
        heading=np.concatenate([driving[1], walking[1], parked[1]]),
        velocity=np.concatenate([forward * speed.T[..., None], np.gradient(walking[0], STEP_S, axis=1), 0 * parked[0]]),
        present=np.concatenate([present.T, np.ones((people + cars, STEPS), bool)]),
    )


def _at_10_hz(motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns `along_m`, `speed_mps`, `present` and `walked_m` of the last 110 steps of 0.1 s.

    The acceleration is constant between two steps of the traffic.
    """
    half = TRAFFIC_STEP_S / 2
    speed = motion.speed_mps
    between = motion.along_m[:-1] + speed[:-1] * half + (speed[1:] - speed[:-1]) * half / 4
    along = _interleave(motion.along_m, between)
    speed = _interleave(speed, (speed[:-1] + speed[1:]) / 2)
    present = _interleave(motion.present, motion.present[:-1] & motion.present[1:])
    walked = _interleave(motion.walked_m, (motion.walked_m[:-1] + motion.walked_m[1:]) / 2)
    return along[-STEPS:], speed[-STEPS:], present[-STEPS:], walked[-STEPS:]


def _interleave(whole: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Returns the rows of one array with the rows of another, which is shorter by one, between them."""
    both = np.empty((len(whole) + len(between), *whole.shape[1:]), whole.dtype)
    both[::2], both[1::2] = whole, between
    return both


def _parked(
    graph: LaneGraph, table: NearTable, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "cars steps 2"], Float[np.ndarray, "cars steps"]]:
    """Returns positions and headings of cars parked at the kerb, away from all lanes."""
    position, heading = [np.zeros((0, STEPS, 2))], [np.zeros((0, STEPS))]
    for kerb in graph.kerbs:
        tangent = np.gradient(kerb, axis=0)
        beside = offset(kerb, -1.4)
        row = int(rng.integers(12, 40))
        while row < len(kerb) - 12:
            if rng.random() < 0.4 and np.linalg.norm(table.points - beside[row], axis=1).min() > 2.9:
                position.append(np.broadcast_to(beside[row], (1, STEPS, 2)))
                heading.append(np.full((1, STEPS), np.arctan2(tangent[row, 1], tangent[row, 0])))
            row += int(rng.integers(7, 25))
    return np.concatenate(position), np.concatenate(heading)


def check_plausible(truth: Truth) -> None:
    """Raises Unusable if a vehicle touches another agent, or an agent accelerates or brakes harder than a car can."""
    discs, radius = _discs(truth)
    middle = truth.position
    pedestrian = np.array(truth.kinds) == "pedestrian"
    for agent in np.flatnonzero(~pedestrian):
        others = slice(agent + 1, None)
        together = truth.present[agent] & truth.present[others]
        reach = (truth.size[agent, 0] + truth.size[others, 0]) / 2 + 0.5
        close = together & (np.linalg.norm(middle[others] - middle[agent], axis=2) < reach[:, None])
        other, step = np.nonzero(close)
        between = discs[agent + 1 + other, step][:, :, None] - discs[agent, step][:, None]
        if (np.linalg.norm(between, axis=3) < (radius[agent + 1 + other] + radius[agent])[:, None, None]).any():
            raise Unusable
    steady = truth.present[:, 2:] & truth.present[:, :-2]
    acceleration = np.linalg.norm(np.diff(truth.velocity, axis=1), axis=2) / STEP_S
    if acceleration[:, 1:-1][steady[:, 1:] & steady[:, :-1]].max(initial=0.0) > 7.0:
        raise Unusable


def _discs(truth: Truth) -> tuple[Float[np.ndarray, "agents steps discs 2"], Float[np.ndarray, " agents"]]:
    """Returns the centres of five discs along each body, as wide as the body, and their radii."""
    radius = truth.size[:, 1] / 2
    share = np.linspace(-1.0, 1.0, 5)
    along = share * np.maximum(truth.size[:, 0] / 2 - radius, 0.0)[:, None]
    forward = np.stack([np.cos(truth.heading), np.sin(truth.heading)], axis=2)
    return truth.position[:, :, None] + along[:, None, :, None] * forward[:, :, None], radius
