"""Planar frames: a pose `a_SE2_b` takes points of frame b to frame a, so `a_SE2_b @ b_SE2_c` is `a_SE2_c`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


def wrap_angle(angle_rad: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The same angles in [-π, π)."""
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
        """Points of the source frame, in the target frame."""
        return points @ self.rotation.T + np.array([self.x_m, self.y_m])

    def rotate(self, vectors: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 2"]:
        """Free vectors (velocities, differences) of the source frame, in the target frame."""
        return vectors @ self.rotation.T

    def inverse(self) -> SE2:
        """The transform from the target frame back to the source frame."""
        x_m, y_m = -self.rotation.T @ np.array([self.x_m, self.y_m])
        return SE2(float(x_m), float(y_m), -self.heading_rad)

    def __matmul__(self, other: SE2) -> SE2:
        """`a_SE2_b @ b_SE2_c` is `a_SE2_c`."""
        x_m, y_m = self.apply(np.array([other.x_m, other.y_m]))
        return SE2(float(x_m), float(y_m), self.heading_rad + other.heading_rad)
