"""A scanned room and questions about it, in the vocabulary of ScanNet and SQA3D."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from perception.geometry import rotation_matrix


@dataclass(frozen=True)
class Scene:
    """A 3-D scan with its objects.

    Everything is in the scene frame: metres, z up, the floor near z = 0, walls parallel to the axes where the data set
    says how to turn them so (ScanNet's `axisAlignment`).

    Attributes:
        id: The data set's name of the scan, such as scene0000_00.
        points: Of the scan.
        colors: Red, green, blue of every point.
        semantic: NYU40 class of every point, 0 where nobody said.
        instance: Object id of every point, from 1; 0 where it belongs to no object.
        boxes: Of the objects: centre, then full size along the axes. Each is the axis-aligned bounding box of the
            points of its instance.
        box_classes: NYU40 class of every box.
        box_instances: Object id of every box.
    """

    id: str
    points: Float32[np.ndarray, "points 3"]
    colors: UInt8[np.ndarray, "points 3"]
    semantic: Int64[np.ndarray, " points"]
    instance: Int64[np.ndarray, " points"]
    boxes: Float32[np.ndarray, "boxes 6"]
    box_classes: Int64[np.ndarray, " boxes"]
    box_instances: Int64[np.ndarray, " boxes"]


@dataclass(frozen=True)
class Viewpoint:
    """Where somebody stands in a scene, and which way they face.

    Attributes:
        position: In the scene frame, metres.
        rotation: Unit quaternion x, y, z, w that takes the person's frame to the scene frame.
            The person looks along their own -x axis, as measured on SQA3D's situations; z is up.
    """

    position: Float64[np.ndarray, " 3"]
    rotation: Float64[np.ndarray, " 4"]

    @property
    def forward(self) -> Float64[np.ndarray, " 3"]:
        """The direction of the gaze in the scene frame, a unit vector."""
        return -rotation_matrix(self.rotation)[:, 0]


@dataclass(frozen=True)
class SceneQuestion:
    """A question asked from a viewpoint that a text describes (SQA3D, https://arxiv.org/abs/2210.07474).

    Attributes:
        id: Unique in its data set.
        scene_id: Of the scene it is about.
        situation: Where the asker stands, in words.
        question: In words.
        answers: That count as right; empty where they are unknown.
        viewpoint: Where the asker stands, in numbers; None where unknown.
    """

    id: int
    scene_id: str
    situation: str
    question: str
    answers: tuple[str, ...]
    viewpoint: Viewpoint | None
