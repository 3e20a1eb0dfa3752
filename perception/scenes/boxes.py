"""Axis-aligned boxes around objects, as centre and full size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int64


def instance_boxes(
    points: Float32[np.ndarray, "points 3"], instance: Int64[np.ndarray, " points"], ids: Int64[np.ndarray, " boxes"]
) -> Float32[np.ndarray, "boxes 6"]:
    """Returns the bounding box of each given instance's points.

    Raises:
        ValueError: An instance has no points.
    """
    order = np.argsort(instance, kind="stable")
    present, starts = np.unique(instance[order], return_index=True)
    missing = np.setdiff1d(ids, present)
    if len(missing):
        raise ValueError(f"expected points of every instance, found none of {missing.tolist()}")
    if not len(ids):
        return np.zeros((0, 6), np.float32)
    low = np.minimum.reduceat(points[order], starts)
    high = np.maximum.reduceat(points[order], starts)
    rows = np.searchsorted(present, ids)
    return np.concatenate([(low + high) / 2, high - low], axis=1)[rows]
