"""The scan that all readers of ScanNet's files return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from perception.geometry import SE3
from perception.scenes.boxes import instance_boxes
from perception.scenes.classes import NYU40, STRUCTURE
from perception.scenes.scene import Scene


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
        ValueError: There are no points, or they are not finite, or a class or instance is out of range.
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


def _check(
    points: Float32[np.ndarray, "points 3"],
    semantic: Int64[np.ndarray, " points"],
    instance: Int64[np.ndarray, " points"],
) -> None:
    if not len(points):
        raise ValueError("expected points, found none")
    if not np.isfinite(points).all():
        raise ValueError(f"expected finite points, found {np.sum(~np.isfinite(points).all(axis=1))} that are not")
    if semantic.min() < 0 or semantic.max() >= len(NYU40) or instance.min() < 0:
        found = f"classes {semantic.min()} to {semantic.max()} and instances from {instance.min()}"
        raise ValueError(f"expected NYU40 classes 0 to {len(NYU40) - 1} and instances from 0, found {found}")
