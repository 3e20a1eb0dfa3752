"""The scan that all readers of ScanNet's files return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from perception.geometry import SE3
from perception.scenes.boxes import instance_boxes
from perception.scenes.classes import NYU40, STRUCTURE
from perception.scenes.scene import Scene

FARTHEST_M = 1000.0
"""ScanNet's rooms are within some ten metres of the origin; a damaged number is usually much farther away."""
LAST_INSTANCE = 2**31 - 1


@dataclass(frozen=True)
class Scan:
    """A scene, and its transform from the frame of SQA3D's positions.

    Attributes:
        scene: Scene in the axis-aligned frame.
        scene_SE3_centred: Transform from the frame of SQA3D's files, which has the axes of the raw scan and its origin
            in the middle of the raw scan's bounding box. None if the files do not state the alignment.
    """

    scene: Scene
    scene_SE3_centred: SE3 | None


def make_scan(
    scene_id: str,
    points: Float32[np.ndarray, "points 3"],
    colors: UInt8[np.ndarray, "points 3"],
    semantic: Int64[np.ndarray, " points"],
    instance: Int64[np.ndarray, " points"],
    scene_SE3_raw: SE3 | None,
) -> Scan:
    """Makes a scan from points in the scene frame; computes its boxes from the points.

    Raises:
        ValueError: There are no points, or they are not finite or far away, or a class or instance is out of range.
    """
    _check(points, semantic, instance)
    ids, first = np.unique(instance, return_index=True)
    is_object = (ids > 0) & ~np.isin(semantic[first], STRUCTURE)
    ids, first = ids[is_object], first[is_object]
    boxes = instance_boxes(points, instance, ids)
    scene = Scene(scene_id, points, colors, semantic, instance, boxes, semantic[first], ids)
    return Scan(scene, None if scene_SE3_raw is None else _centred(points, scene_SE3_raw))


def _centred(points: Float32[np.ndarray, "points 3"], scene_SE3_raw: SE3) -> SE3:
    raw = scene_SE3_raw.inverse().apply(points.astype(np.float64))
    return scene_SE3_raw @ SE3(np.eye(3), (raw.min(axis=0) + raw.max(axis=0)) / 2)


def whole_numbers(values: np.ndarray) -> Int64[np.ndarray, "*shape"]:
    """Returns labels as integers, whatever type they were stored in.

    Raises:
        ValueError: A value is not a whole number, or has more than 53 bits.
    """
    numbers = values.astype(np.float64)
    wrong = ~(np.abs(numbers) < 2.0**53) | (numbers != np.rint(numbers))
    if wrong.any():
        raise ValueError(f"expected whole numbers, found {values[wrong][0]}")
    return values.astype(np.int64)


def _check(
    points: Float32[np.ndarray, "points 3"],
    semantic: Int64[np.ndarray, " points"],
    instance: Int64[np.ndarray, " points"],
) -> None:
    if not len(points):
        raise ValueError("expected points, found none")
    if not np.isfinite(points).all():
        raise ValueError(f"expected finite points, found {np.sum(~np.isfinite(points).all(axis=1))} that are not")
    if np.abs(points).max() > FARTHEST_M:
        raise ValueError(f"expected points within {FARTHEST_M:g} m of the origin, found {np.abs(points).max():g} m")
    if semantic.min() < 0 or semantic.max() >= len(NYU40) or instance.min() < 0 or instance.max() > LAST_INSTANCE:
        found = f"classes {semantic.min()} to {semantic.max()} and instances {instance.min()} to {instance.max()}"
        expected = f"expected NYU40 classes 0 to {len(NYU40) - 1} and instances 0 to {LAST_INSTANCE}"
        raise ValueError(f"{expected}, found {found}")
