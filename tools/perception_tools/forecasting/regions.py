"""Regions of end points for mmTransformer's region-based training: k-means with clusters of equal size.

Bradley, Bennett and Demiriz, Constrained K-Means Clustering (MSR-TR-2000-65): the assignment step is a transport
problem, every point to one cluster and every cluster its equal share. Its clusters are cells of a power diagram
(Aurenhammer et al., 1998), by which points that were not clustered find their region too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, kron, vstack

from perception_datasets.errors import Failures
from perception_datasets.forecasting import ScenarioFolder
from perception_tools.forecasting.prepared import has_target

MAX_POINTS = 2_000
"""Number of end points that are clustered; the transport problem of 2,000 and six regions takes half a second."""
MAX_ROUNDS = 50


@dataclass(frozen=True)
class Regions:
    """A power diagram: a point is in the region with the least |point − centre|² − weight.

    Attributes:
        centers: Means of the end points in each region, in their agents' frames, metres.
        weights: Squared metres.
    """

    centers: Float[np.ndarray, "regions 2"]
    weights: Float[np.ndarray, " regions"]

    def of(self, points: Float[np.ndarray, "points 2"]) -> Int[np.ndarray, " points"]:
        """Region of each point."""
        return (_squared(points, self.centers) - self.weights).argmin(axis=1)


def fit_regions(points: Float[np.ndarray, "points 2"], count: int, seed: int = 0) -> Regions:
    """Clusters points into regions that hold as many points each (to one, where the number does not divide).

    Args:
        points: End points, metres.
        count: Number of regions.
        seed: Seed of the first centres (k-means++).
    """
    if len(points) < count:
        raise ValueError(f"fit_regions: expected at least {count} points for {count} regions, got {len(points)}")
    centers = _first_centers(points, count, np.random.default_rng(seed))
    before = None
    for _ in range(MAX_ROUNDS):
        share = _transport(_squared(points, centers))
        region = share.argmax(axis=1)
        centers = (share.T @ points) / share.sum(axis=0)[:, None]
        if before is not None and np.array_equal(region, before):
            break
        before = region
    weights = _weights(_squared(points, centers), region)
    order = np.argsort(np.arctan2(centers[:, 1], centers[:, 0]), kind="stable")  # the same whatever came first
    return Regions(centers[order], weights[order])


def end_points(folder: ScenarioFolder, limit: int = MAX_POINTS) -> Float[np.ndarray, "points 2"]:
    """True ends of focal agents, each in its own present frame; of a large folder those of evenly spread scenarios."""
    chosen = np.unique(np.linspace(0, len(folder) - 1, min(limit, len(folder))).round().astype(int))
    spread = ScenarioFolder(folder.files, folder.split, [folder.ids[int(index)] for index in chosen])
    ends = []
    for scenario in spread.read_all(Failures().add):  # training names what cannot be read
        if has_target(scenario)[scenario.focal] and scenario.agents.valid[scenario.focal, scenario.present]:
            last = np.flatnonzero(scenario.agents.valid[scenario.focal])[-1]
            agent_SE2_city = scenario.city_SE2_agent(scenario.focal).inverse()
            ends.append(agent_SE2_city.apply(scenario.agents.position[scenario.focal, last]))
    return np.stack(ends) if ends else np.zeros((0, 2))


def _transport(cost: Float[np.ndarray, "points regions"]) -> Float[np.ndarray, "points regions"]:
    """Share of each point in each region at the least cost."""
    points, regions = cost.shape
    each_point = kron(eye_array(points), np.ones((1, regions)))
    each_region = kron(np.ones((1, points)), eye_array(regions))
    limits = np.concatenate([np.ones(points), np.full(regions, points / regions)])
    found = linprog(cost.ravel(), A_eq=csr_array(vstack([each_point, each_region])), b_eq=limits, method="highs")
    return found.x.reshape(points, regions)


def _weights(
    cost: Float[np.ndarray, "points regions"], region: Int[np.ndarray, " points"]
) -> Float[np.ndarray, " regions"]:
    """Weights by which each point is in its region with the widest margin to the next; they sum to 0.

    The transport's own prices would do, but always put some point right on a border.
    """
    count = cost.shape[1]
    rows, least = [], []
    for own in range(count):
        excess = cost[region == own, own, None] - cost[region == own]
        for other in set(range(count)) - {own}:
            row = np.zeros(count + 1)  # the weights and the margin: w_other - w_own + margin <= -excess
            row[[other, own, count]] = 1, -1, 1
            rows.append(row)
            least.append(-excess[:, other].max(initial=-np.inf))
    if not rows:
        return np.zeros(count)
    goal = np.eye(count + 1)[count]
    found = linprog(-goal, np.stack(rows), least, 1 - goal[None], [0], bounds=(None, None), method="highs")
    return found.x[:count]


def _squared(points: Float[np.ndarray, "points 2"], centers: Float[np.ndarray, "regions 2"]) -> np.ndarray:
    return ((points[:, None] - centers) ** 2).sum(-1)


def _first_centers(
    points: Float[np.ndarray, "points 2"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "{count} 2"]:
    """k-means++: each next centre is far from those before."""
    centers = points[rng.integers(len(points), size=1)]
    while len(centers) < count:
        away = _squared(points, centers).min(axis=1)
        chance = away / away.sum() if away.sum() else None
        centers = np.concatenate([centers, points[rng.choice(len(points), size=1, p=chance)]])
    return centers
