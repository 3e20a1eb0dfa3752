"""A point cloud of one object, and what a model sees of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from perception.clouds.grouping import farthest_points
from perception.errors import InputError

Scaling = Literal["unit-sphere", "none"]
MAX_SAMPLED = 2**17
"""Farthest point sampling sees at most this many points of a cloud, evenly by index."""
MAX_RADIUS = 100.0
"""Without scaling, a cloud that reaches farther from the origin is taken to be in another unit than metres."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """The points of one object.

    Attributes:
        id: Its name, unique in its data set.
        points: Positions x, y, z; in metres where the data set has a unit. Some may be missing (not finite).
    """

    id: str
    points: Float32[np.ndarray, "points 3"]

    def __post_init__(self) -> None:
        """Checks what readers give, also where annotations are not checked."""
        points = self.points
        if points.ndim != 2 or points.shape[1] != 3 or points.dtype != np.float32:
            raise InputError(
                f"cloud {self.id}: expected points of type float32 and shape (points, 3), got {points.dtype} and "
                f"{points.shape}; take x, y and z alone"
            )


@dataclass(frozen=True)
class CloudInput:
    """How clouds become what an encoder reads: scaled, and a fixed number of points far from each other.

    Points that are not finite are left out. Of more than `MAX_SAMPLED` points, every second, third, … is kept. A cloud
    with too few points gets each of them as often as is needed, so one point is enough. Points may repeat.

    Attributes:
        points: Number of points.
        scaling: `unit-sphere` moves the mean to the origin and divides by the largest distance from it, so that units
            do not matter; `none` keeps metres, as for ScanObjectNN.
    """

    points: int
    scaling: Scaling = "unit-sphere"

    def prepare(self, cloud: Cloud) -> Float32[Tensor, "{self.points} 3"]:
        """Returns points in farthest-point order: the first few are a sample themselves.

        Raises:
            InputError: There is no finite point, or the cloud is far too large for metres and is not scaled.
        """
        return self.sample(cloud, self.points)

    def sample(self, cloud: Cloud, count: int) -> Float32[Tensor, "{count} 3"]:
        """Returns as many points as are asked for; else as `prepare`."""
        points = self._scaled(cloud)
        return points[sample_order(points, count)]

    def _scaled(self, cloud: Cloud) -> Float32[Tensor, "finite 3"]:
        finite = cloud.points[np.isfinite(cloud.points).all(axis=1)]
        if not len(finite):
            raise InputError(
                f"cloud {cloud.id}: expected at least one point with finite coordinates, got {len(cloud.points)} "
                "points and none that is; leave it out"
            )
        points = finite[:: -(-len(finite) // MAX_SAMPLED)].astype(np.float64)
        if self.scaling == "unit-sphere":
            points = points - points.mean(axis=0)
            radius = np.sqrt((points**2).sum(axis=1).max())
            points = points / radius if radius > 0 else points
        elif (reach := np.sqrt((points**2).sum(axis=1).max())) > MAX_RADIUS:
            raise InputError(
                f"cloud {cloud.id}: expected an object in metres near the origin, got points up to {reach:,.0f} from "
                "it; divide millimetres by 1,000, or move the object to the origin"
            )
        return torch.from_numpy(points.astype(np.float32))


def sample_order(points: Float32[Tensor, "points 3"], count: int) -> Int64[Tensor, " {count}"]:
    """Returns the indices of the first points in farthest-point order, from the first point on.

    Where there are fewer points than are asked for, the order is repeated.
    """
    order = farthest_points(points.unsqueeze(0), min(count, len(points)))[0]
    return order.repeat(-(-count // len(order)))[:count]
