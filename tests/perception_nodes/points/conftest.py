"""A tiny classifier of clouds, and a street with three objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception.models.point_classifier import PointClassifier


@pytest.fixture(scope="session")
def point_classifier() -> PointClassifier:
    """A classifier of three classes around a seeded random block. Tests must not change it."""
    import torch

    from perception.clouds.cloud import CloudInput
    from perception.encoders.point_bert import PointBert, PointBertSize
    from perception.encoders.vit import VitSize
    from perception.frozen.adapter import build_adapter
    from perception.heads.classification import ClsMaxHead
    from perception.models.point_classifier import PointClassifier

    torch.manual_seed(0)
    size = PointBertSize(VitSize(16, 2, 2), 8)
    block = build_adapter(16, source="random:32x48x4?seed=0").requires_grad_(False)
    return PointClassifier(PointBert(size, 6, 8), block, ClsMaxHead(16, 3, 12), CloudInput(32)).eval()


@pytest.fixture(scope="session")
def street() -> np.ndarray:
    """Points of a car, a pedestrian and a pole, 200, 80 and 30 of them, and five others. Do not change."""
    rng = np.random.default_rng(0)
    parts = [((10, 2, 0.8), (2.4, 1.2, 1), 200), ((6, -3, 0.9), (0.5, 0.5, 1.7), 80), ((-5, 0, 1), (0.2, 0.2, 2), 30)]
    objects = [rng.uniform(-0.5, 0.5, (count, 3)) * size + place for place, size, count in parts]
    others = np.array([[30, 30, 5], [-40, 2, 1], [0, 20, 3], [np.nan, 0, 0], [0, np.inf, 0]])
    return np.concatenate([*objects, others])[rng.permutation(315)].astype(np.float32)
