"""A map of the scene from posed point clouds, of one averaged point a voxel and bounded size; or a loaded scan.

Voxels are never emptied: the map does not notice that an object was removed, until other voxels need the room.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8

from perception.errors import InputError
from perception.geometry import SE3
from perception.scenes.scene import Scene

_HALF = 2**20
"""Voxels along half an axis: three indices of 21 bits make a key of 63."""
_SPREAD = np.int64(-7046029254386353131)
"""Odd and near 2⁶⁴ divided by the golden ratio: multiplying by it moves neighbouring keys far apart."""


@dataclass(frozen=True)
class PosedCloud:
    """A point cloud and the pose of its sensor.

    Attributes:
        stamp_ns: Time of the measurement.
        map_SE3_sensor: Transform from the sensor's frame to the map's: metres, z up, the floor near z = 0.
        points: Positions in the sensor's frame, metres. Points that are not finite are no measurements, as in ROS's
            organised clouds.
        colors: Red, green and blue of every point.
    """

    stamp_ns: int
    map_SE3_sensor: SE3
    points: Float[np.ndarray, "points 3"]
    colors: UInt8[np.ndarray, "points 3"]


@dataclass(frozen=True)
class SceneSnapshot:
    """An immutable version of the scene.

    Attributes:
        version: Number of the version; it increases with every snapshot of the same source.
        stamp_ns: Time of the newest measurement in it.
        points: Positions in the map frame.
        colors: Red, green and blue of every point.
    """

    version: int
    stamp_ns: int
    points: Float32[np.ndarray, "points 3"]
    colors: UInt8[np.ndarray, "points 3"]

    @classmethod
    def of_scene(cls, scene: Scene, stamp_ns: int, version: int = 1) -> SceneSnapshot:
        """Returns all points of a scan, in their order."""
        return cls(version, stamp_ns, scene.points, scene.colors)


class CloudArrival(Enum):
    """What was done with a cloud, and why."""

    ADDED = "added"
    MISSHAPEN = "points and colours do not fit each other"
    TOO_LARGE = "more points than a cloud may have"
    BAD_POSE = "the sensor's pose is no rigid transform"
    EMPTY = "no finite point within reach"

    @property
    def is_added(self) -> bool:
        """Whether the map has it."""
        return self is CloudArrival.ADDED


@dataclass(frozen=True)
class SceneMapSettings:
    """Bounds of a map.

    Attributes:
        voxel_m: Edge of a voxel in metres. ScanNet's scans have a point every 2 cm.
        max_voxels: Maximum number of voxels; beyond it, those not seen for longest are removed. A scan of ScanNet has
            150,000 on average. A voxel takes 72 bytes, and twice that while a cloud is added.
        max_cloud_points: Maximum number of a cloud's points; larger clouds are refused.
        reach_m: Points farther from their sensor are left out, metres.
    """

    voxel_m: float = 0.02
    max_voxels: int = 500_000
    max_cloud_points: int = 2_000_000
    reach_m: float = 100.0

    def __post_init__(self) -> None:
        for name in ("voxel_m", "max_voxels", "max_cloud_points", "reach_m"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}: expected more than 0, got {getattr(self, name)}; give a positive number")


class SceneMap:
    """Accumulates clouds; thread-safe.

    Attributes:
        settings: Bounds.
        counts: Number of clouds by what was done with them.
        points_left_out: Number of points of added clouds that were not finite or out of reach.
    """

    def __init__(self, settings: SceneMapSettings = SceneMapSettings()) -> None:
        self.settings = settings
        self.counts: Counter[CloudArrival] = Counter()
        self.points_left_out = 0
        self._lock = threading.Lock()
        self._version, self._stamp_ns = 0, 0
        self._keys, self._seen_ns = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._sums = np.zeros((0, 7))  # x, y, z, red, green, blue, how many points
        self._snapshot: SceneSnapshot | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, cloud: PosedCloud) -> CloudArrival:
        """Adds a cloud; returns whether it was added, or why not."""
        arrival, points, colors = self._screen(cloud)
        with self._lock:
            self.counts[arrival] += 1
            if arrival.is_added:
                self.points_left_out += len(cloud.points) - len(points)
                self._merge(*_sum_voxels(points, colors, self.settings.voxel_m), cloud.stamp_ns)
        return arrival

    def snapshot(self) -> SceneSnapshot | None:
        """Returns the present map, the same object until it changes; None while it is empty."""
        with self._lock:
            if self._snapshot is None and self._version:
                means = self._sums[:, :6] / self._sums[:, 6:]
                colors = np.rint(means[:, 3:]).astype(np.uint8)
                self._snapshot = SceneSnapshot(
                    self._version, self._stamp_ns, means[:, :3].astype(np.float32), np.ascontiguousarray(colors)
                )
            return self._snapshot

    def _screen(
        self, cloud: PosedCloud
    ) -> tuple[CloudArrival, Float[np.ndarray, "points 3"], UInt8[np.ndarray, "points 3"]]:
        """Returns whether a cloud can be added, and its usable points and colours in the map frame."""
        nothing = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
        points, colors = cloud.points, cloud.colors
        if points.ndim != 2 or points.shape[1:] != (3,) or colors.shape != points.shape or colors.dtype != np.uint8:
            return CloudArrival.MISSHAPEN, *nothing
        if len(points) > self.settings.max_cloud_points:
            return CloudArrival.TOO_LARGE, *nothing
        with np.errstate(over="ignore", invalid="ignore"):
            usable = np.abs(points).max(axis=1, initial=0) <= self.settings.reach_m  # False for NaN
        try:
            pose = SE3.from_matrix(cloud.map_SE3_sensor.matrix)
        except ValueError:
            return CloudArrival.BAD_POSE, *nothing
        moved = pose.apply(points[usable].astype(np.float64))
        inside = (np.abs(moved) < (_HALF - 1) * self.settings.voxel_m).all(axis=1)
        arrival = CloudArrival.ADDED if inside.any() else CloudArrival.EMPTY
        return arrival, moved[inside], colors[usable][inside]

    def _merge(self, keys: Int64[np.ndarray, " voxels"], sums: Float[np.ndarray, "voxels 7"], stamp_ns: int) -> None:
        merged, place = np.unique(np.concatenate([self._keys, keys]), return_inverse=True)
        old, new = place[: len(self._keys)], place[len(self._keys) :]
        totals, seen_ns = np.zeros((len(merged), 7)), np.full(len(merged), stamp_ns)
        totals[old], seen_ns[old] = self._sums, self._seen_ns
        totals[new] += sums
        seen_ns[new] = np.maximum(seen_ns[new], stamp_ns)
        if len(merged) > self.settings.max_voxels:
            newest = np.lexsort((merged * _SPREAD, seen_ns))[-self.settings.max_voxels :]  # even within a cloud
            kept = np.sort(newest)
            merged, totals, seen_ns = merged[kept], totals[kept], seen_ns[kept]
        self._keys, self._sums, self._seen_ns = merged, totals, seen_ns
        self._version, self._stamp_ns, self._snapshot = self._version + 1, max(self._stamp_ns, stamp_ns), None


def _sum_voxels(
    points: Float[np.ndarray, "points 3"], colors: UInt8[np.ndarray, "points 3"], voxel_m: float
) -> tuple[Int64[np.ndarray, " voxels"], Float[np.ndarray, "voxels 7"]]:
    """Returns the keys of the voxels that hold points, and the sums over the points of each."""
    x, y, z = np.floor(points / voxel_m).astype(np.int64).T + _HALF
    keys, voxel = np.unique((x << 42) | (y << 21) | z, return_inverse=True)
    columns = (*points.T, *colors.T, None)
    return keys, np.column_stack([np.bincount(voxel, column, len(keys)) for column in columns])
