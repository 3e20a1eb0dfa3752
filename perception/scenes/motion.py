"""Motions of a whole scene that training augments it with; boxes, votes and viewpoints move alike."""

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
    """A rigid motion x ↦ linear·x + translation, mirrored where the determinant of `linear` is -1."""

    linear: Float64[np.ndarray, "3 3"]
    translation: Float64[np.ndarray, " 3"]

    def apply(self, points: Float64[np.ndarray, "*points 3"]) -> Float64[np.ndarray, "*points 3"]:
        """Where points come to lie."""
        return points @ self.linear.T + self.translation

    def apply_to_viewpoint(self, viewpoint: Viewpoint) -> Viewpoint:
        """Where somebody comes to stand, looking at the same things and still on their feet.

        A mirrored person would be left-handed, which no rotation describes: their own y axis is turned back.
        """
        axes = self.linear @ rotation_matrix(viewpoint.rotation)
        if np.linalg.det(axes) < 0:
            axes = axes * np.array([1.0, -1.0, 1.0])
        return Viewpoint(self.apply(viewpoint.position), unit_quaternion(axes))


QUARTER_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
STILL = SceneMotion(np.eye(3), np.zeros(3))


def random_motion(rng: np.random.Generator, *, mirror: bool = False, quarter_turns: bool = False) -> SceneMotion:
    """A half turn about z or none, up to 5° about x, y and z, up to 0.5 m along each axis.

    Args:
        rng: Where the numbers come from.
        mirror: Flip x and y each by a coin of its own, as SQA3D does. Every other scene is then a mirror image, where
            what a text calls left is right; so by default both flip or none, which is a half turn.
        quarter_turns: Turn by a right angle too, by another coin; boxes parallel to the axes stay tight.
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
