"""Rigid transforms. `a_SE2_b` or `a_SE3_b` maps points of frame b to frame a, so `a_SE2_b @ b_SE2_c` is `a_SE2_c`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64


def wrap_angle(angle_rad: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Wraps angles to [-π, π)."""
    return (angle_rad + np.pi) % (2 * np.pi) - np.pi


@dataclass(frozen=True)
class SE2:
    """A planar rigid transform x ↦ R(heading)·x + translation.

    Attributes:
        x_m: Translation along the target frame's x axis.
        y_m: Translation along the target frame's y axis.
        heading_rad: Counter-clockwise rotation from the source frame to the target frame.
    """

    x_m: float
    y_m: float
    heading_rad: float

    @property
    def rotation(self) -> Float[np.ndarray, "2 2"]:
        """The rotation matrix R(heading)."""
        cos, sin = np.cos(self.heading_rad), np.sin(self.heading_rad)
        return np.array([[cos, -sin], [sin, cos]])

    def apply(self, points: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 2"]:
        """Transforms points from the source frame to the target frame."""
        return points @ self.rotation.T + np.array([self.x_m, self.y_m])

    def rotate(self, vectors: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 2"]:
        """Rotates free vectors (velocities, differences) from the source frame to the target frame."""
        return vectors @ self.rotation.T

    def inverse(self) -> SE2:
        """Returns the transform from the target frame to the source frame."""
        x_m, y_m = -self.rotation.T @ np.array([self.x_m, self.y_m])
        return SE2(float(x_m), float(y_m), -self.heading_rad)

    def __matmul__(self, other: SE2) -> SE2:
        """`a_SE2_b @ b_SE2_c` is `a_SE2_c`."""
        x_m, y_m = self.apply(np.array([other.x_m, other.y_m]))
        return SE2(float(x_m), float(y_m), self.heading_rad + other.heading_rad)


@dataclass(frozen=True)
class SE3:
    """A rigid transform in 3-D, x ↦ R·x + translation.

    Attributes:
        rotation: The matrix R from the source frame to the target frame.
        translation_m: The source frame's origin, in the target frame.
    """

    rotation: Float64[np.ndarray, "3 3"]
    translation_m: Float64[np.ndarray, " 3"]

    @classmethod
    def from_matrix(cls, matrix: Float64[np.ndarray, "4 4"]) -> SE3:
        """Builds the transform from a homogeneous matrix.

        Raises:
            ValueError: The matrix is not a rigid transform within 1e-4, the precision of files.
        """
        rotation = matrix[:3, :3]
        rigid = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4) and np.linalg.det(rotation) > 0
        if not (rigid and np.allclose(matrix[3], (0, 0, 0, 1)) and np.isfinite(matrix).all()):
            raise ValueError(f"expected a rigid transform, got the matrix {matrix.round(4).tolist()}")
        return cls(rotation, matrix[:3, 3])

    @property
    def matrix(self) -> Float64[np.ndarray, "4 4"]:
        """The transform as a homogeneous matrix."""
        return np.vstack([np.column_stack([self.rotation, self.translation_m]), (0.0, 0.0, 0.0, 1.0)])

    def apply(self, points: Float64[np.ndarray, "*points 3"]) -> Float64[np.ndarray, "*points 3"]:
        """Transforms points from the source frame to the target frame."""
        return points @ self.rotation.T + self.translation_m

    def inverse(self) -> SE3:
        """Returns the transform from the target frame to the source frame."""
        return SE3(self.rotation.T, -self.rotation.T @ self.translation_m)

    def __matmul__(self, other: SE3) -> SE3:
        """`a_SE3_b @ b_SE3_c` is `a_SE3_c`."""
        return SE3(self.rotation @ other.rotation, self.apply(other.translation_m))


def rotation_matrix(quaternion: Float64[np.ndarray, " 4"]) -> Float64[np.ndarray, "3 3"]:
    """Returns the rotation matrix of a unit quaternion x, y, z, w."""
    x, y, z, w = quaternion
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def yaw(quaternions: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n"]:
    """Returns the heading of unit quaternions x, y, z, w: the angle about z in radians."""
    x, y, z, w = np.moveaxis(quaternions, -1, 0)
    return np.asarray(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def unit_quaternion(rotation: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, " 4"]:
    """Returns the unit quaternion x, y, z, w of a rotation matrix, with w ≥ 0.

    It is the eigenvector of a symmetric matrix with the largest eigenvalue (Bar-Itzhack, 2000). The usual formulas
    divide by numbers that vanish for some rotations.
    """
    r = rotation
    symmetric = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    quaternion = np.linalg.eigh(symmetric)[1][:, -1]
    return quaternion if quaternion[3] >= 0 else -quaternion


def rotate_by(quaternions: Float[np.ndarray, "n 4"], vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Returns each vector turned by its own unit quaternion x, y, z, w."""
    axis, w = quaternions[:, :3], quaternions[:, 3:]
    twice = 2 * np.cross(axis, vectors)
    return vectors + w * twice + np.cross(axis, twice)


def quaternion_products(
    left: Float[np.ndarray, " 4"], quaternions: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n 4"]:
    """Returns the products of one quaternion with others, x, y, z, w: the rotation by the others, then by the one."""
    x, y, z, w = left
    matrix = np.array([[w, -z, y, x], [z, w, -x, y], [-y, x, w, z], [-x, -y, -z, w]])
    return quaternions @ matrix.T
