"""A tiny model of actions, and pictures of a moving square."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception.models.action_recognizer import ActionRecognizer


@pytest.fixture(scope="session")
def action_recognizer() -> ActionRecognizer:
    """A recogniser of three actions in four pictures, around a seeded random block. Tests must not change it."""
    import torch

    from perception.encoders.video_mae import VideoMae
    from perception.encoders.vit import VitSize
    from perception.frozen.adapter import build_adapter
    from perception.heads.action import ActionHead
    from perception.models.action_recognizer import ActionRecognizer

    torch.manual_seed(0)
    encoder = VideoMae(VitSize(16, 2, 2), 8, (4, 16, 16))
    block = build_adapter(16, source="random:32x48x4?seed=0").requires_grad_(False)
    return ActionRecognizer(encoder, block, ActionHead(16, 3, init_scale=5.0)).eval()


@pytest.fixture(scope="session")
def scenes() -> np.ndarray:
    """Thirty pictures of noise, 24 × 36. Do not change."""
    return np.random.default_rng(0).integers(0, 256, (30, 24, 36, 3), np.uint8)
