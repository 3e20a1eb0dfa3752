"""Joint forecasts: metrics of worlds, in each of which every actor has one future; equal to those of av2.

A forecaster of single agents has no worlds: then world k holds every actor's k-th most probable future, and has the
probability of the focal agent's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int

from perception.metrics.limits import COLLISION_M, MISS_RADIUS_M


@dataclass(frozen=True)
class WorldScores:
    """Scores of a scenario; the *best world* has the least end error, averaged over its actors.

    Attributes:
        avg_min_ade: Least ADE of a world, averaged over its actors, metres.
        avg_min_ade_endpoint: ADE of the best world, metres.
        avg_min_fde: End error of the best world, metres.
        actor_miss_rate: Share of the actors that end more than 2.0 m off in the best world.
        avg_brier_min_fde: `avg_min_fde` + (1 - p)² with p the best world's probability.
        collision_rate: Share of the actors that come within 1.0 m of another in the best world.
    """

    avg_min_ade: float
    avg_min_ade_endpoint: float
    avg_min_fde: float
    actor_miss_rate: float
    avg_brier_min_fde: float
    collision_rate: float


def worlds_of(
    trajectories: Float[np.ndarray, "actors modes steps 2"],
    probabilities: Float[np.ndarray, "actors modes"],
    focal: int,
    k: int,
) -> tuple[Float[np.ndarray, "actors worlds steps 2"], Float[np.ndarray, " worlds"]]:
    """The k most probable worlds and their probabilities, which sum to 1.

    Args:
        trajectories: Modes of each actor.
        probabilities: Probability of each mode of an actor; the same for all where they were forecast together.
        focal: Row of the focal agent.
        k: Number of worlds; all where there are fewer.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(probabilities, order, axis=1)[focal]
    return np.take_along_axis(trajectories, order[:, :, None, None], axis=1), kept / kept.sum()


def score_worlds(
    worlds: Float[np.ndarray, "actors worlds steps 2"],
    probabilities: Float[np.ndarray, " worlds"],
    truth: Float[np.ndarray, "actors steps 2"],
) -> WorldScores:
    """Scores the worlds of a scenario against what all actors did."""
    distance = np.linalg.norm(worlds - truth[:, None], axis=-1)
    ade, fde = distance.mean(axis=-1).mean(axis=0), distance[..., -1].mean(axis=0)
    best = int(fde.argmin())
    return WorldScores(
        avg_min_ade=float(ade.min()),
        avg_min_ade_endpoint=float(ade[best]),
        avg_min_fde=float(fde[best]),
        actor_miss_rate=float((distance[:, best, -1] > MISS_RADIUS_M).mean()),
        avg_brier_min_fde=float(fde[best] + (1 - probabilities[best]) ** 2),
        collision_rate=float(_collides(worlds[:, best]).mean()),
    )


def mean_scores(scores: Sequence[WorldScores]) -> dict[str, float]:
    """Means over scenarios, by name."""
    return {f.name: float(np.mean([getattr(score, f.name) for score in scores])) for f in fields(WorldScores)}


def _collides(world: Float[np.ndarray, "actors steps 2"]) -> np.ndarray:
    """Which actors come too near to another; those of a scenario are some tens."""
    nearest = np.full(len(world), np.inf)
    for actor, path in enumerate(world):
        apart = np.linalg.norm(world - path, axis=-1).min(axis=-1)
        apart[actor] = np.inf
        nearest[actor] = apart.min()
    return nearest < COLLISION_M


def nearest_mode(
    trajectories: Float[np.ndarray, "agents modes steps 2"], truth: Float[np.ndarray, "agents steps 2"]
) -> Int[np.ndarray, " agents"]:
    """The mode of each agent that ends nearest to the truth."""
    return np.linalg.norm(trajectories[:, :, -1] - truth[:, None, -1], axis=-1).argmin(axis=1)
