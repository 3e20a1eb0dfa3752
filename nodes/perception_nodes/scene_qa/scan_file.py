"""Reads a scan, a file of coloured points, as PLY or PCD."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from perception.clouds.scan_formats import read_pcd, read_ply
from perception.errors import InputError
from perception.files import reading
from perception_nodes.scene_qa.scene_map import SceneSnapshot

_CURE = "give the path of a whole .ply or .pcd file with coloured points"


def read_scan(path: Path, *, stamp_ns: int) -> SceneSnapshot:
    """Returns the finite points of a PLY or PCD file in their order. PLY may also hold a mesh.

    Args:
        path: Path of the file. Its points are in metres, z up, the floor near z = 0.
        stamp_ns: Time that the scan counts as taken at.

    Raises:
        InputError: The file is damaged, or its points have no colours.
    """
    with reading(path, _CURE):
        if path.suffix.lower() == ".pcd":
            points, colors = read_pcd(path, path.read_bytes(), _CURE)
        elif path.suffix.lower() == ".ply":
            points, colors = read_ply(path, path.read_bytes(), _CURE)
        else:
            path.stat()  # a missing file is the better reason
            raise InputError(f"{path}: expected a name that ends in .ply or .pcd; {_CURE}")
    finite = np.isfinite(points).all(axis=1)
    if colors is None or not finite.any():
        found = (
            f"{len(points)} points, {finite.sum()} of them finite, {'without' if colors is None else 'with'} colours"
        )
        raise InputError(f"{path}: expected coloured points, found {found}; give a coloured scan")
    return SceneSnapshot(1, stamp_ns, points[finite].astype(np.float32), colors[finite])
