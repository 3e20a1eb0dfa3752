"""A scanned room and questions about it, in the terms of ScanNet and SQA3D."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from perception.geometry import rotation_matrix


@dataclass(frozen=True)
class Scene:
    """A 3-D scan with its objects.

    Coordinates are in the scene frame: metres, z up, the floor near z = 0, walls parallel to the axes if the data set
    gives the alignment (ScanNet's `axisAlignment`).

    Attributes:
        id: Name of the scan in its data set, such as scene0000_00.
        points: Points of the scan.
        colors: Red, green, blue of every point.
        semantic: NYU40 class of every point; 0 if unannotated.
        instance: Object id of every point, from 1; 0 if it belongs to no object.
        boxes: Axis-aligned bounding box of each object's points: centre, then full size along the axes.
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
    """Position and orientation of a person in a scene.

    Attributes:
        position: Scene frame, metres.
        rotation: Unit quaternion x, y, z, w from the person's frame to the scene frame. The person looks along their
            -x axis, as measured on SQA3D's situations; z is up.
    """

    position: Float64[np.ndarray, " 3"]
    rotation: Float64[np.ndarray, " 4"]

    @property
    def forward(self) -> Float64[np.ndarray, " 3"]:
        """Unit vector of the viewing direction in the scene frame."""
        return -rotation_matrix(self.rotation)[:, 0]


@dataclass(frozen=True)
class SceneQuestion:
    """A question asked in a situation that a text describes (SQA3D, https://arxiv.org/abs/2210.07474).

    Attributes:
        id: Unique in its data set.
        scene_id: `Scene.id` of the scene that it is about.
        situation: Text that describes where the asker stands.
        question: Text of the question.
        answers: Answers that count as right; empty if unknown.
        viewpoint: Viewpoint of the asker; None if unknown.
    """

    id: int
    scene_id: str
    situation: str
    question: str
    answers: tuple[str, ...]
    viewpoint: Viewpoint | None
