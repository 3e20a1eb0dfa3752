"""Metrics of SQA3D's localisation task, which finds a described viewpoint in a scene: Acc@0.5 m, 1 m, 15° and 30°."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64

from perception.geometry import wrap_angle
from perception.scenes.scene import Viewpoint

THRESHOLDS_M = (0.5, 1.0)
THRESHOLDS_DEG = (15, 30)


def localization_errors(
    given: Sequence[Viewpoint], true: Sequence[Viewpoint]
) -> tuple[Float64[np.ndarray, " viewpoints"], Float64[np.ndarray, " viewpoints"]]:
    """Returns the distances in the floor plane (x, y) in metres and the angles about z in radians.

    Height and tilt are ignored, because SQA3D annotates neither. Both must be in the same frame with z up. A
    vertical gaze has no direction about z and counts as opposite.
    """
    offset = np.stack([a.position - b.position for a, b in zip(given, true, strict=True)])[:, :2]
    gaze, truth = (np.stack([viewpoint.forward for viewpoint in viewpoints])[:, :2] for viewpoints in (given, true))
    turned = np.abs(wrap_angle(np.arctan2(gaze[:, 1], gaze[:, 0]) - np.arctan2(truth[:, 1], truth[:, 0])))
    vertical = (np.linalg.norm(gaze, axis=1) < 1e-6) | (np.linalg.norm(truth, axis=1) < 1e-6)
    return np.linalg.norm(offset, axis=1), np.where(vertical, np.pi, turned)


def localization_hits(
    distance_m: Float64[np.ndarray, " viewpoints"], angle_rad: Float64[np.ndarray, " viewpoints"]
) -> dict[str, Bool[np.ndarray, " viewpoints"]]:
    """Returns whether each viewpoint is within each threshold (inclusive); the accuracies are the means."""
    return {f"acc_{limit:g}m": distance_m <= limit for limit in THRESHOLDS_M} | {
        f"acc_{limit}deg": np.rad2deg(angle_rad) <= limit for limit in THRESHOLDS_DEG
    }
