"""Which points of a cloud belong together: single linkage, as PCL's and Autoware's Euclidean cluster extraction.

Points are first gathered in cells of half the linking distance, and cells are linked by the distance of their means. So
objects are apart to within about half of that distance, and memory follows the space that is seen, not the number of
points. SciPy's k-d tree finds the links and its graph routine the components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from perception.errors import InputError

MAX_CELLS = 200_000
"""Maximum number of occupied cells: a sweep of 64 beams has about 20,000 of 0.25 m."""
_AXIS_BITS = 21


@dataclass(frozen=True)
class Clustering:
    """What of a cloud is an object.

    Attributes:
        distance_m: Points up to this distance apart belong together.
        min_points: Minimum number of points of an object.
        max_size_m: Maximum extent of an object along each axis: larger ones are walls, or ground.
        low_m: Points below this height in the cloud's frame are left out.
        high_m: Points above it are left out.
        max_range_m: Points farther from the origin, along any axis, are left out.
        max_objects: Maximum number of objects; those with most points are kept.
    """

    distance_m: float = 0.5
    min_points: int = 20
    max_size_m: float = 15.0
    low_m: float = -np.inf
    high_m: float = np.inf
    max_range_m: float = 100.0
    max_objects: int = 64

    def find(self, points: Float[np.ndarray, "points 3"]) -> list[Int[np.ndarray, " of_object"]]:
        """Returns the rows of each object's points, the object with most points first.

        Args:
            points: The cloud; points that are not finite are left out.

        Raises:
            InputError: It fills more than `MAX_CELLS` cells.
        """
        rows = np.flatnonzero(self._kept(points))
        if not len(rows):
            return []
        kept = points[rows].astype(np.float64)
        cell_of, means = _cells(kept, self.distance_m / 2)
        label_of = _linked(means, self.distance_m)[cell_of]
        order = np.argsort(label_of, kind="stable")
        objects = np.split(order, np.flatnonzero(np.diff(label_of[order])) + 1)
        found = [of for of in objects if len(of) >= self.min_points and np.ptp(kept[of], 0).max() <= self.max_size_m]
        found.sort(key=len, reverse=True)  # stable: of equally large ones that with the first point
        return [rows[of] for of in found[: self.max_objects]]

    def _kept(self, points: Float[np.ndarray, "points 3"]) -> Bool[np.ndarray, " points"]:
        near = (np.abs(points) <= self.max_range_m).all(axis=1)  # what is no number is not near
        return near & (points[:, 2] >= self.low_m) & (points[:, 2] <= self.high_m)


def _cells(
    points: Float[np.ndarray, "points 3"], edge_m: float
) -> tuple[Int[np.ndarray, " points"], Float[np.ndarray, "cells 3"]]:
    """Returns each point's cell, and the mean of each cell's points."""
    places = np.floor(points / edge_m).astype(np.int64)
    places -= places.min(axis=0)
    if places.max() >= 2**_AXIS_BITS:
        raise InputError(f"a cloud of {places.max():,} cells of {edge_m:g} m along an axis; raise distance_m")
    keys = (places[:, 0] << 2 * _AXIS_BITS) | (places[:, 1] << _AXIS_BITS) | places[:, 2]
    cells, first, cell_of = np.unique(keys, return_index=True, return_inverse=True)
    if len(cells) > MAX_CELLS:
        raise InputError(
            f"a cloud that fills {len(cells):,} cells of {edge_m:g} m; expected at most {MAX_CELLS:,}: raise "
            "distance_m, or lower max_range_m"
        )
    by_first = np.empty(len(cells), np.int64)
    by_first[np.argsort(first, kind="stable")] = np.arange(len(cells))  # cells in the order of their first points
    cell_of = by_first[cell_of]
    counts = np.bincount(cell_of)
    means = np.column_stack([np.bincount(cell_of, values) / counts for values in points.T])
    return cell_of, means


def _linked(places: Float[np.ndarray, "cells 3"], distance_m: float) -> Int[np.ndarray, " cells"]:
    """Returns a number for each cell, the same for all that links connect."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    pairs = KDTree(places).query_pairs(distance_m, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), (len(places), len(places)))
    return connected_components(links, directed=False)[1]
