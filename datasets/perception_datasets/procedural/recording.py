"""Simulated tracking from one vehicle: which agents it tracks at which steps, with noise and gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.geometry import wrap_angle
from perception_datasets.argoverse.argoverse2 import EGO_ID, HISTORY_STEPS
from perception_datasets.procedural.truth import STEPS, Truth, Unusable

PRESENT = HISTORY_STEPS - 1
FRAGMENT, UNSCORED, SCORED, FOCAL = range(4)  # av2's TrackCategory
_MOST_SCORED = 8


@dataclass(frozen=True)
class Recording:
    """Measured tracks.

    Attributes:
        ids: Track ids; the ego's is `EGO_ID`.
        kinds: Argoverse 2's object types.
        category: Values of av2's TrackCategory.
        focal: Row of the focal track.
        position: Measured positions, metres.
        heading: Measured headings, radians.
        velocity: Measured velocities, m/s.
        valid: Whether the agent was in sight at each step.
    """

    ids: list[str]
    kinds: list[str]
    category: list[int]
    focal: int
    position: Float[np.ndarray, "agents steps 2"]
    heading: Float[np.ndarray, "agents steps"]
    velocity: Float[np.ndarray, "agents steps 2"]
    valid: Bool[np.ndarray, "agents steps"]


@dataclass(frozen=True)
class _Roles:
    """Rows of the ego, the focal agent and the scored agents, and when each agent is in sight."""

    ego: int
    focal: int
    scored: list[int]
    seen: Bool[np.ndarray, "agents steps"]


def record(truth: Truth, vehicles: int, rng: np.random.Generator) -> Recording:
    """Chooses an ego vehicle and records what it sees.

    Args:
        truth: Exact motion of all agents.
        vehicles: Number of driving vehicles, which are the first agents.
        rng: Random generator.

    Raises:
        Unusable: No vehicle sees a complete track of a moving agent.
    """
    roles = _assign_roles(truth, vehicles, rng)
    seen = roles.seen
    for agent in range(len(seen)):
        if agent not in (roles.ego, roles.focal, *roles.scored):
            _lose_sight(seen[agent], rng)
    kept = [agent for agent in range(len(seen)) if seen[agent].sum() >= 2]
    kept.sort(key=lambda agent: agent == roles.ego)  # the ego last, as in the recorded scenarios
    numbers = np.sort(rng.choice(np.arange(10_000, 99_999), size=len(kept), replace=False))
    position, heading, velocity = _measure(truth, kept, roles.ego, rng)
    return Recording(
        ids=[EGO_ID if agent == roles.ego else str(number) for agent, number in zip(kept, numbers, strict=True)],
        kinds=[truth.kinds[agent] for agent in kept],
        category=[_category(agent, roles) for agent in kept],
        focal=kept.index(roles.focal),
        position=position,
        heading=heading,
        velocity=velocity,
        valid=seen[kept],
    )


def _assign_roles(truth: Truth, vehicles: int, rng: np.random.Generator) -> _Roles:
    """Chooses an ego that sees a moving agent during all 11 s; the nearest complete tracks are scored."""
    travelled = np.linalg.norm(np.diff(truth.position, axis=1), axis=2).sum(axis=1)
    movers = np.arange(len(truth.kinds)) < vehicles + truth.kinds.count("pedestrian")
    drives_through = np.flatnonzero(truth.present[:vehicles].all(axis=1) & (travelled[:vehicles] > 3.0))
    for ego in rng.permutation(drives_through).tolist():
        distance = np.linalg.norm(truth.position - truth.position[ego], axis=2)
        seen = truth.present & (distance < rng.uniform(70.0, 100.0))
        complete = np.flatnonzero(seen.all(axis=1) & movers & (np.arange(len(movers)) != ego))
        moving = complete[travelled[complete] > 5.0]
        if moving.size:
            focal = _choose_focal(truth, moving, rng)
            nearest = complete[np.argsort(distance[complete, PRESENT])].tolist()
            scored = [agent for agent in nearest if agent != focal][: int(rng.integers(2, _MOST_SCORED))]
            return _Roles(ego, focal, scored, seen)
    raise Unusable


def _choose_focal(truth: Truth, moving: Int[np.ndarray, " moving"], rng: np.random.Generator) -> int:
    """Chooses a track at random, weighted by how much it turns, brakes or accelerates after the present."""
    turned = np.abs(np.diff(truth.heading[moving, PRESENT:], axis=1)).sum(axis=1)
    speed = np.linalg.norm(truth.velocity[moving, PRESENT:], axis=2)
    weight = 0.3 + np.minimum(turned, 1.5) + 0.2 * (speed.max(axis=1) - speed.min(axis=1))
    weight = weight * np.where(np.array(truth.kinds)[moving] == "pedestrian", 0.2, 1.0)
    return int(rng.choice(moving, p=weight / weight.sum()))


def _category(agent: int, roles: _Roles) -> int:
    if agent == roles.focal:
        return FOCAL
    if agent in roles.scored:
        return SCORED
    return UNSCORED if roles.seen[agent].sum() >= HISTORY_STEPS else FRAGMENT


def _lose_sight(seen: Bool[np.ndarray, " steps"], rng: np.random.Generator) -> None:
    """Cuts off one end of a track, makes a gap in it, or leaves it whole."""
    draw = rng.random()
    start = int(rng.integers(0, STEPS))
    if draw < 0.2:
        seen[start : start + int(rng.integers(3, 20))] = False
    elif draw < 0.35:
        seen[start:] = False
    elif draw < 0.5:
        seen[:start] = False


def _measure(
    truth: Truth, kept: list[int], ego: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "agents steps 2"], Float[np.ndarray, "agents steps"], Float[np.ndarray, "agents steps 2"]]:
    """Adds tracking errors (slow drift and jitter), which are smaller for the ego."""
    count = len(kept)
    grade = np.array([0.2 if agent == ego else 1.0 for agent in kept]) * rng.uniform(0.5, 1.5, count)
    drift = np.cumsum(rng.normal(0.0, 0.012, (count, STEPS, 2)), axis=1)
    jitter = rng.normal(0.0, 0.02, (count, STEPS, 2))
    position = truth.position[kept] + grade[:, None, None] * (drift - drift.mean(axis=1, keepdims=True) + jitter)
    heading = truth.heading[kept] + grade[:, None] * rng.normal(0.0, 0.01, (count, STEPS))
    velocity = truth.velocity[kept] + grade[:, None, None] * rng.normal(0.0, 0.06, (count, STEPS, 2))
    return position, wrap_angle(heading), velocity
