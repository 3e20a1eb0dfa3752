"""Tracked and predicted objects of `autoware_perception_msgs`, with all their fields, as arrays.

Ragged lists (an object's classes, footprint and paths, a path's poses) are flat arrays, each with an array of counts,
so memory is proportional to the message, whatever it contains. Poses are x, y, z in metres and the unit quaternion
x, y, z, w, in the header's frame. As in Autoware, twists (linear, angular) and accelerations are in the object's own
frame.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64, UInt8

from perception.geometry import SE3, quaternion_products, rotate_by, unit_quaternion, yaw

FARTHEST_M = 1e8
"""Ten times the largest coordinate of any map projection: a larger one is an error."""


class Label(IntEnum):
    """The labels of `autoware_perception_msgs/ObjectClassification`."""

    UNKNOWN = 0
    CAR = 1
    TRUCK = 2
    BUS = 3
    TRAILER = 4
    MOTORCYCLE = 5
    BICYCLE = 6
    PEDESTRIAN = 7
    ANIMAL = 8
    HAZARD = 9
    OVER_DRIVABLE = 10
    UNDER_DRIVABLE = 11


class OrientationAvailability(IntEnum):
    """How much a tracked object's quaternion says of its orientation."""

    UNAVAILABLE = 0
    SIGN_UNKNOWN = 1
    AVAILABLE = 2


@dataclass(frozen=True, kw_only=True)
class Objects:
    """What tracked and predicted objects share.

    Attributes:
        stamp_ns: Stamp of the header, nanoseconds since the clock's epoch.
        frame_id: Frame of the header.
        ids: UUIDs.
        existence: Probability that the object exists.
        class_counts: Number of (label, probability) pairs of each object.
        class_labels: `Label` values, object after object.
        class_probabilities: Probability of each label.
        poses: Pose of each object.
        pose_covariances: Covariances, row-major 6 x 6, as are the other two.
        twists: Velocity of each object, linear and angular.
        twist_covariances: Covariances of the twists.
        accelerations: Acceleration of each object, linear and angular.
        acceleration_covariances: Covariances of the accelerations.
        shape_types: 0 bounding box, 1 cylinder, 2 polygon.
        footprint_counts: Number of corners of each object's polygon.
        footprints: Corners in the object's frame, object after object.
        dimensions: Length, width and height in metres.
    """

    stamp_ns: int
    frame_id: str
    ids: UInt8[np.ndarray, "objects 16"]
    existence: Float32[np.ndarray, " objects"]
    class_counts: Int64[np.ndarray, " objects"]
    class_labels: UInt8[np.ndarray, " classes"]
    class_probabilities: Float32[np.ndarray, " classes"]
    poses: Float64[np.ndarray, "objects 7"]
    pose_covariances: Float64[np.ndarray, "objects 36"]
    twists: Float64[np.ndarray, "objects 6"]
    twist_covariances: Float64[np.ndarray, "objects 36"]
    accelerations: Float64[np.ndarray, "objects 6"]
    acceleration_covariances: Float64[np.ndarray, "objects 36"]
    shape_types: UInt8[np.ndarray, " objects"]
    footprint_counts: Int64[np.ndarray, " objects"]
    footprints: Float32[np.ndarray, "corners 3"]
    dimensions: Float64[np.ndarray, "objects 3"]

    def __post_init__(self) -> None:
        _expect_counted("class_labels", self.class_labels, self.class_counts)
        _expect_counted("class_probabilities", self.class_probabilities, self.class_counts)
        _expect_counted("footprints", self.footprints, self.footprint_counts)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels(self) -> UInt8[np.ndarray, " objects"]:
        """Each object's most probable `Label`, the first of equals; UNKNOWN for an object without classes."""
        owner = np.repeat(np.arange(len(self)), self.class_counts)
        likely = np.where(np.isnan(self.class_probabilities), -np.inf, self.class_probabilities)
        ascending = np.lexsort((-np.arange(len(owner)), likely))
        labels = np.full(len(self), Label.UNKNOWN, dtype=np.uint8)
        labels[owner[ascending]] = self.class_labels[ascending]  # the last assignment to an index stands
        return labels

    @property
    def headings(self) -> Float64[np.ndarray, " objects"]:
        """Yaw in the header's frame, radians; NaN where the quaternion is no rotation."""
        usable = _are_rotations(self.poses[:, 3:])
        return np.where(usable, yaw(np.where(usable[:, None], self.poses[:, 3:], 0.0)), np.nan)

    @property
    def velocities(self) -> Float64[np.ndarray, "objects 2"]:
        """Planar velocity in the header's frame, m/s; NaN where quaternion or velocity is not usable."""
        return self._in_header_frame(self.twists[:, :3])[:, :2]

    @property
    def turn_rates(self) -> Float64[np.ndarray, " objects"]:
        """Rate of the yaw in the header's frame, rad/s; NaN where quaternion or rate is not usable."""
        return self._in_header_frame(self.twists[:, 3:])[:, 2]

    def _in_header_frame(self, vectors: Float64[np.ndarray, "objects 3"]) -> Float64[np.ndarray, "objects 3"]:
        usable = _are_rotations(self.poses[:, 3:]) & (np.abs(vectors) < FARTHEST_M).all(axis=1)
        turned = rotate_by(*(np.where(usable[:, None], values, 0.0) for values in (self.poses[:, 3:], vectors)))
        return np.where(usable[:, None], turned, np.nan)

    @property
    def sound(self) -> Bool[np.ndarray, " objects"]:
        """Which objects have usable numbers: finite, below `FARTHEST_M`, a quaternion of length one, a size."""
        numbers = np.concatenate([self.twists, self.accelerations, self.dimensions], axis=1)
        near = (np.abs(numbers) < FARTHEST_M).all(axis=1)  # false for NaN
        return near & _are_poses(self.poses) & (self.dimensions >= 0).all(axis=1)


@dataclass(frozen=True, kw_only=True)
class TrackedObjects(Objects):
    """`autoware_perception_msgs/TrackedObjects`.

    Attributes:
        orientation_availability: `OrientationAvailability` values.
    """

    orientation_availability: UInt8[np.ndarray, " objects"]
    is_stationary: Bool[np.ndarray, " objects"]

    @classmethod
    def planar(
        cls,
        stamp_ns: int,
        frame_id: str,
        ids: UInt8[np.ndarray, "objects 16"],
        positions: Float[np.ndarray, "objects 2"],
        headings: Float[np.ndarray, " objects"],
        velocities: Float[np.ndarray, "objects 2"],
        labels: Int[np.ndarray, " objects"],
        dimensions: Float[np.ndarray, "objects 3"],
    ) -> TrackedObjects:
        """Returns boxes that move on a plane, each of one class; velocities are given in the header's frame."""
        count = len(ids)
        standing = cls(
            stamp_ns=stamp_ns,
            frame_id=frame_id,
            ids=ids,
            existence=np.ones(count, np.float32),
            class_counts=np.ones(count, np.int64),
            class_labels=labels.astype(np.uint8),
            class_probabilities=np.ones(count, np.float32),
            poses=planar_poses(positions, np.zeros(count), headings),
            pose_covariances=np.zeros((count, 36)),
            twists=np.zeros((count, 6)),
            twist_covariances=np.zeros((count, 36)),
            accelerations=np.zeros((count, 6)),
            acceleration_covariances=np.zeros((count, 36)),
            shape_types=np.zeros(count, np.uint8),
            footprint_counts=np.zeros(count, np.int64),
            footprints=np.zeros((0, 3), np.float32),
            dimensions=dimensions.astype(np.float64),
            orientation_availability=np.full(count, OrientationAvailability.AVAILABLE, np.uint8),
            is_stationary=np.zeros(count, bool),
        )
        return standing.moving(velocities)

    def moving(self, velocities: Float[np.ndarray, "objects 2"]) -> TrackedObjects:
        """Returns the objects with planar velocities, given in the header's frame, and no others."""
        usable = _are_rotations(self.poses[:, 3:])[:, None]
        inverse = np.where(usable, self.poses[:, 3:] * [-1, -1, -1, 1], [0.0, 0.0, 0.0, 1.0])
        twists = np.zeros((len(self), 6))
        twists[:, :3] = rotate_by(inverse, np.pad(velocities, ((0, 0), (0, 1))))
        return replace(self, twists=twists)

    def transformed(self, target_frame_id: str, target_SE3_source: SE3) -> TrackedObjects:
        """Returns the objects in another frame: poses and their covariances are turned, all else stays.

        Twists, accelerations and footprints are in the objects' own frames. A quaternion that is no rotation stays
        as it came.

        Args:
            target_frame_id: Name of the other frame.
            target_SE3_source: The transform from the header's frame to it.
        """
        quaternions, rotation = self.poses[:, 3:], target_SE3_source.rotation
        both = np.kron(np.eye(2), rotation)  # of position and of turns about fixed axes, REP 103
        with np.errstate(invalid="ignore", over="ignore"):  # numbers that are not finite stay so
            positions = target_SE3_source.apply(self.poses[:, :3])
            turned = quaternion_products(unit_quaternion(rotation), quaternions)
            covariances = both @ self.pose_covariances.reshape(-1, 6, 6) @ both.T
        turned = np.where(_are_rotations(quaternions)[:, None], turned, quaternions)
        return replace(
            self,
            frame_id=target_frame_id,
            poses=np.concatenate([positions, turned], axis=1),
            pose_covariances=covariances.reshape(-1, 36),
        )

    def select(self, rows: Int[np.ndarray, " rows"] | Bool[np.ndarray, " objects"]) -> TrackedObjects:
        """Returns some of the objects, in the order of the rows."""
        chosen = np.arange(len(self))[rows]
        classes = _members(self.class_counts, chosen)
        return replace(
            self,
            **{f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name not in _NOT_BY_OBJECT},
            class_labels=self.class_labels[classes],
            class_probabilities=self.class_probabilities[classes],
            footprints=self.footprints[_members(self.footprint_counts, chosen)],
        )

    def predict(
        self,
        path_counts: Int[np.ndarray, " objects"],
        positions: Float[np.ndarray, "paths steps 2"],
        headings: Float[np.ndarray, "paths steps"],
        confidences: Float[np.ndarray, " paths"],
        time_step_s: float,
    ) -> PredictedObjects:
        """Returns the same objects with their futures, at their present height; a path begins at the present pose.

        All that the sender said of an object stays as it is. Its paths are finite nevertheless: where its own pose is
        not, they begin with their first heading, and lie at height 0.

        Args:
            path_counts: Number of paths of each object.
            positions: Positions in the header's frame, metres, path after path, object after object; step 0 is one time
                step after the stamp.
            headings: Headings in the header's frame, radians.
            confidences: Probability of each path.
            time_step_s: Seconds between two steps.
        """
        paths, steps = headings.shape
        counts = path_counts.astype(np.int64)
        present = np.repeat(self.poses, counts, axis=0)
        heights = np.where(np.abs(present[:, 2]) < FARTHEST_M, present[:, 2], 0.0)
        first = headings[:, 0] if steps else np.zeros(paths)
        poses = np.empty((paths, steps + 1, 7))
        poses[:, 0] = np.where(_are_poses(present)[:, None], present, planar_poses(present[:, :2], heights, first))
        poses[:, 1:] = planar_poses(positions, np.broadcast_to(heights[:, None], headings.shape), headings)
        return PredictedObjects(
            **{f.name: getattr(self, f.name) for f in fields(Objects)},
            path_counts=counts,
            path_time_steps_ns=np.full(paths, round(time_step_s * 1e9)),
            path_confidences=confidences.astype(np.float32),
            pose_counts=np.full(paths, steps + 1),
            path_poses=poses.reshape(-1, 7),
        )


@dataclass(frozen=True, kw_only=True)
class PredictedObjects(Objects):
    """`autoware_perception_msgs/PredictedObjects`.

    Attributes:
        path_counts: Number of futures of each object.
        path_time_steps_ns: Time between two poses of each path.
        path_confidences: Probability of each path, object after object.
        pose_counts: Number of poses of each path.
        path_poses: Poses, path after path; the first pose of a path is the object's at the stamp.
    """

    path_counts: Int64[np.ndarray, " objects"]
    path_time_steps_ns: Int64[np.ndarray, " paths"]
    path_confidences: Float32[np.ndarray, " paths"]
    pose_counts: Int64[np.ndarray, " paths"]
    path_poses: Float64[np.ndarray, "poses 7"]

    def __post_init__(self) -> None:
        super().__post_init__()
        _expect_counted("path_time_steps_ns", self.path_time_steps_ns, self.path_counts)
        _expect_counted("path_confidences", self.path_confidences, self.path_counts)
        _expect_counted("pose_counts", self.pose_counts, self.path_counts)
        _expect_counted("path_poses", self.path_poses, self.pose_counts)

    @property
    def sound(self) -> Bool[np.ndarray, " objects"]:
        """Which objects have usable numbers, in all poses of all paths too, and confidences that are probabilities."""
        owner = np.repeat(np.arange(len(self)), self.path_counts)
        broken_poses = np.repeat(owner, self.pose_counts)[~_are_poses(self.path_poses)]
        broken_paths = owner[~((self.path_confidences >= 0) & (self.path_confidences <= 1))]
        return super().sound & ~np.isin(np.arange(len(self)), np.concatenate([broken_poses, broken_paths]))


def planar_poses(
    positions: Float[np.ndarray, "*shape 2"],
    heights: Float[np.ndarray, "*shape"],
    headings: Float[np.ndarray, "*shape"],
) -> Float64[np.ndarray, "*shape 7"]:
    """Returns poses whose z axis points up."""
    poses = np.zeros((*headings.shape, 7))
    poses[..., :2] = positions
    poses[..., 2] = heights
    poses[..., 5] = np.sin(headings / 2)
    poses[..., 6] = np.cos(headings / 2)
    return poses


def numbers_within(counts: Int64[np.ndarray, " owners"]) -> Int64[np.ndarray, " members"]:
    """Returns each member's number within its owner's list: counts 2, 0, 3 give 0, 1, 0, 1, 2."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


_NOT_BY_OBJECT = {"stamp_ns", "frame_id", "class_labels", "class_probabilities", "footprints"}


def _members(counts: Int64[np.ndarray, " owners"], rows: Int[np.ndarray, " rows"]) -> Int64[np.ndarray, " members"]:
    """Returns the places of some owners' members in the flat array."""
    return np.repeat((np.cumsum(counts) - counts)[rows], counts[rows]) + numbers_within(counts[rows])


def _are_poses(poses: Float64[np.ndarray, "poses 7"]) -> Bool[np.ndarray, " poses"]:
    """Returns which positions are below `FARTHEST_M` and quaternions are rotations. False for NaN."""
    return (np.abs(poses[:, :3]) < FARTHEST_M).all(axis=1) & _are_rotations(poses[:, 3:])


def _are_rotations(quaternions: Float64[np.ndarray, "n 4"]) -> Bool[np.ndarray, " n"]:
    """Returns which quaternions are of length one, to a thousandth. False for NaN."""
    small = np.all(np.abs(quaternions) < 2, axis=1)
    safe = np.where(small[:, None], quaternions, 0.0)  # nothing overflows
    return small & (np.abs(np.einsum("nq,nq->n", safe, safe) - 1) < 2e-3)


def _expect_counted(name: str, members: np.ndarray, counts: np.ndarray) -> None:
    """Refuses a flat array whose length is not the sum of its counts."""
    if len(members) != counts.sum():
        raise ValueError(f"{name} has {len(members)} members; expected {counts.sum()}, the sum of their counts")
