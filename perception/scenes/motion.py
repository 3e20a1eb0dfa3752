"""Rigid motions of a whole scene for augmentation; boxes, votes and viewpoints move with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from perception.geometry import rotation_matrix, unit_quaternion
from perception.scenes.scene import Viewpoint

MAX_TILT_RAD = np.deg2rad(5.0)
MAX_SHIFT_M = 0.5


@dataclass(frozen=True)
class SceneMotion:
    """A rigid motion x ↦ linear·x + translation, mirrored if the determinant of `linear` is -1."""

    linear: Float64[np.ndarray, "3 3"]
    translation: Float64[np.ndarray, " 3"]

    def apply(self, points: Float64[np.ndarray, "*points 3"]) -> Float64[np.ndarray, "*points 3"]:
        """Moves points."""
        return points @ self.linear.T + self.translation

    def apply_to_viewpoint(self, viewpoint: Viewpoint) -> Viewpoint:
        """Moves a viewpoint, so that the person looks at the same things and stays upright.

        No rotation describes a mirrored frame, so its y axis is flipped back.
        """
        axes = self.linear @ rotation_matrix(viewpoint.rotation)
        if np.linalg.det(axes) < 0:
            axes = axes * np.array([1.0, -1.0, 1.0])
        return Viewpoint(self.apply(viewpoint.position), unit_quaternion(axes))


QUARTER_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
NO_MOTION = SceneMotion(np.eye(3), np.zeros(3))


def random_motion(rng: np.random.Generator, *, mirror: bool = False, quarter_turns: bool = False) -> SceneMotion:
    """Draws a half turn about z or none, up to 5° about x, y and z, and up to 0.5 m along each axis.

    Args:
        rng: Random number generator.
        mirror: Flip x and y independently, as SQA3D does. Half of the scenes are then mirror images, in which "left"
            in a text is wrong. By default both axes flip or neither does, which is a half turn.
        quarter_turns: Also turn by 90° in half of the cases; axis-aligned boxes stay tight.
    """
    flips = rng.random(2) < 0.5
    if not mirror:
        flips[1] = flips[0]
    linear = np.diag([*np.where(flips, -1.0, 1.0), 1.0])
    if quarter_turns and rng.random() < 0.5:
        linear = QUARTER_TURN @ linear
    for axis, angle in enumerate(rng.uniform(-MAX_TILT_RAD, MAX_TILT_RAD, 3)):
        quaternion = np.zeros(4)
        quaternion[axis], quaternion[3] = np.sin(angle / 2), np.cos(angle / 2)
        linear = rotation_matrix(quaternion) @ linear
    return SceneMotion(linear, rng.uniform(-MAX_SHIFT_M, MAX_SHIFT_M, 3))
