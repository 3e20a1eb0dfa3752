"""What one vehicle's sensors make of the traffic: which tracks, from when to when, with noise and gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.geometry import wrap_angle
from perception.scenario import STEP_S
from perception_datasets.argoverse2 import EGO_ID, FUTURE_STEPS, HISTORY_STEPS
from perception_datasets.procedural.curves import offset
from perception_datasets.procedural.lane_graph import LaneGraph
from perception_datasets.procedural.pedestrians import Pedestrians
from perception_datasets.procedural.routes import NearTable
from perception_datasets.procedural.traffic import STEP_S as TRAFFIC_STEP_S
from perception_datasets.procedural.traffic import Motion, Vehicles, poses

STEPS = HISTORY_STEPS + FUTURE_STEPS
PRESENT = HISTORY_STEPS - 1
FRAGMENT, UNSCORED, SCORED, FOCAL = range(4)  # av2's TrackCategory
_MOST_SCORED = 8


class Unusable(Exception):
    """A stretch of traffic that makes no scenario: nobody to forecast, or two road users too close."""


@dataclass(frozen=True)
class Truth:
    """Everyone's exact motion at 10 Hz, one row an agent.

    Attributes:
        kinds: Argoverse 2's object types.
        size: Length and width, metres.
        present: Who is in the world at each step.
    """

    kinds: list[str]
    size: Float[np.ndarray, "agents 2"]
    position: Float[np.ndarray, "agents steps 2"]
    heading: Float[np.ndarray, "agents steps"]
    velocity: Float[np.ndarray, "agents steps 2"]
    present: Bool[np.ndarray, "agents steps"]


@dataclass(frozen=True)
class Recording:
    """Measured tracks; `category` holds av2's TrackCategory values, `valid` the steps that were seen."""

    ids: list[str]
    kinds: list[str]
    category: list[int]
    focal: int
    position: Float[np.ndarray, "agents steps 2"]
    heading: Float[np.ndarray, "agents steps"]
    velocity: Float[np.ndarray, "agents steps 2"]
    valid: Bool[np.ndarray, "agents steps"]


def true_motion(
    graph: LaneGraph,
    table: NearTable,
    vehicles: Vehicles,
    pedestrians: Pedestrians,
    motion: Motion,
    rng: np.random.Generator,
) -> Truth:
    """The last eleven seconds of simulated traffic, with the cars parked beside the road, on the 10 Hz clock."""
    along, present, walked = _at_10_hz(motion)
    driving = poses(vehicles, along)
    walking = pedestrians.poses(walked)
    parked = _parked(graph, table, rng)
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
        velocity=np.gradient(position, STEP_S, axis=1),
        present=np.concatenate([present.T, np.ones((people + cars, STEPS), bool)]),
    )


def _at_10_hz(
    motion: Motion,
) -> tuple[Float[np.ndarray, "steps vehicles"], Bool[np.ndarray, "steps vehicles"], Float[np.ndarray, "steps people"]]:
    """The last 110 tenths of a second: between two traffic steps the acceleration is constant."""
    half = TRAFFIC_STEP_S / 2
    speed = motion.speed_mps
    between = motion.along_m[:-1] + speed[:-1] * half + (speed[1:] - speed[:-1]) * half / 4
    along = _interleave(motion.along_m, between)
    present = _interleave(motion.present, motion.present[:-1] & motion.present[1:])
    walked = _interleave(motion.walked_m, (motion.walked_m[:-1] + motion.walked_m[1:]) / 2)
    return along[-STEPS:], present[-STEPS:], walked[-STEPS:]


def _interleave(whole: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Rows of one array, with the rows of another, shorter by one, between them."""
    both = np.empty((len(whole) + len(between), *whole.shape[1:]), whole.dtype)
    both[::2], both[1::2] = whole, between
    return both


def _parked(
    graph: LaneGraph, table: NearTable, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "cars steps 2"], Float[np.ndarray, "cars steps"]]:
    """Cars that stand at the kerb, away from every lane."""
    position, heading = [np.zeros((0, STEPS, 2))], [np.zeros((0, STEPS))]
    for kerb in graph.kerbs:
        tangent = np.gradient(kerb, axis=0)
        beside = offset(kerb, -1.4)
        at = int(rng.integers(12, 40))
        while at < len(kerb) - 12:
            if rng.random() < 0.4 and np.linalg.norm(table.points - beside[at], axis=1).min() > 2.9:
                position.append(np.broadcast_to(beside[at], (1, STEPS, 2)))
                heading.append(np.full((1, STEPS), np.arctan2(tangent[at, 1], tangent[at, 0])))
            at += int(rng.integers(7, 25))
    return np.concatenate(position), np.concatenate(heading)


def check_plausible(truth: Truth) -> None:
    """Raises Unusable where a vehicle touches anyone, or one accelerates or brakes harder than a car can."""
    discs, radius = _discs(truth)
    middle = truth.position
    pedestrian = np.array(truth.kinds) == "pedestrian"
    for agent in np.flatnonzero(~pedestrian)[:-1]:
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
    """Five discs along each body, as wide as the body, and their radii."""
    radius = truth.size[:, 1] / 2
    share = np.linspace(-1.0, 1.0, 5)
    along = share * np.maximum(truth.size[:, 0] / 2 - radius, 0.0)[:, None]
    forward = np.stack([np.cos(truth.heading), np.sin(truth.heading)], axis=2)
    return truth.position[:, :, None] + along[:, None, :, None] * forward[:, :, None], radius


def record(truth: Truth, vehicles: int, rng: np.random.Generator) -> Recording:
    """Drives a measuring vehicle through the traffic. The first `vehicles` agents are those that drive.

    The focal track is complete and preferably one that turns, brakes or starts; other complete tracks of movers around
    the measuring vehicle are scored.
    """
    travelled = np.linalg.norm(np.diff(truth.position, axis=1), axis=2).sum(axis=1)
    drives_through = np.flatnonzero(truth.present[:vehicles].all(axis=1) & (travelled[:vehicles] > 3.0))
    if drives_through.size < 2:
        raise Unusable
    ego = int(rng.choice(drives_through))
    distance = np.linalg.norm(truth.position - truth.position[ego], axis=2)
    seen = truth.present & (distance < rng.uniform(70.0, 100.0))
    movers = np.arange(len(truth.kinds)) < vehicles + truth.kinds.count("pedestrian")
    complete = np.flatnonzero(seen.all(axis=1) & movers & (np.arange(len(movers)) != ego))
    focal = _choose_focal(truth, complete, travelled, rng)
    scored = [a for a in complete[np.argsort(distance[complete, PRESENT])] if a != focal][
        : int(rng.integers(2, _MOST_SCORED))
    ]

    for agent in range(len(seen)):
        if agent not in (ego, focal, *scored):
            _lose_sight(seen[agent], rng)
    kept = [agent for agent in range(len(seen)) if seen[agent].sum() >= 2]
    kept.sort(key=lambda agent: agent == ego)  # the ego last, as in the recorded scenarios
    ids = [
        EGO_ID if agent == ego else str(name) for agent, name in zip(kept, _track_numbers(len(kept), rng), strict=True)
    ]
    category = [
        FOCAL
        if agent == focal
        else SCORED
        if agent in scored
        else UNSCORED
        if seen[agent].sum() >= HISTORY_STEPS
        else FRAGMENT
        for agent in kept
    ]
    position, heading, velocity = _measure(truth, kept, ego, rng)
    return Recording(
        ids, [truth.kinds[a] for a in kept], category, kept.index(focal), position, heading, velocity, seen[kept]
    )


def _choose_focal(
    truth: Truth,
    complete: Int[np.ndarray, " complete"],
    travelled: Float[np.ndarray, " agents"],
    rng: np.random.Generator,
) -> int:
    """One of the complete tracks that move, weighted by how much happens after the present."""
    moving = complete[travelled[complete] > 5.0]
    if moving.size == 0:
        raise Unusable
    turned = np.abs(np.diff(truth.heading[moving, PRESENT:], axis=1)).sum(axis=1)
    speed = np.linalg.norm(truth.velocity[moving, PRESENT:], axis=2)
    weight = 0.3 + np.minimum(turned, 1.5) + 0.2 * (speed.max(axis=1) - speed.min(axis=1))
    weight = weight * np.where(np.array(truth.kinds)[moving] == "pedestrian", 0.2, 1.0)
    return int(rng.choice(moving, p=weight / weight.sum()))


def _lose_sight(seen: Bool[np.ndarray, " steps"], rng: np.random.Generator) -> None:
    """Cuts a track short, or leaves a gap in it, or neither."""
    draw = rng.random()
    start = int(rng.integers(0, STEPS))
    if draw < 0.2:
        seen[start : start + int(rng.integers(3, 20))] = False
    elif draw < 0.35:
        seen[start:] = False
    elif draw < 0.5:
        seen[:start] = False


def _track_numbers(count: int, rng: np.random.Generator) -> Int[np.ndarray, " tracks"]:
    return np.sort(rng.choice(np.arange(10_000, 99_999), size=count, replace=False))


def _measure(
    truth: Truth, kept: list[int], ego: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "agents steps 2"], Float[np.ndarray, "agents steps"], Float[np.ndarray, "agents steps 2"]]:
    """Adds a tracker's errors: slow drift and some jitter; the ego knows itself well."""
    count = len(kept)
    grade = np.array([0.2 if agent == ego else 1.0 for agent in kept]) * rng.uniform(0.5, 1.5, count)
    drift = np.cumsum(rng.normal(0.0, 0.012, (count, STEPS, 2)), axis=1)
    jitter = rng.normal(0.0, 0.02, (count, STEPS, 2))
    position = truth.position[kept] + grade[:, None, None] * (drift - drift.mean(axis=1, keepdims=True) + jitter)
    heading = truth.heading[kept] + grade[:, None] * rng.normal(0.0, 0.01, (count, STEPS))
    velocity = truth.velocity[kept] + grade[:, None, None] * rng.normal(0.0, 0.06, (count, STEPS, 2))
    return position, wrap_angle(heading), velocity
