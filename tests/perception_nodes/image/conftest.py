"""A tiny classifier of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception.models.image_classifier import ImageClassifier


@pytest.fixture(scope="session")
def image_classifier() -> ImageClassifier:
    """A classifier of three classes around a seeded random block. Tests must not change it."""
    import torch

    from perception.encoders.vit import Vit, VitSize
    from perception.frozen.adapter import build_adapter
    from perception.heads.classification import ClassificationHead
    from perception.images.picture_input import PictureInput
    from perception.models.image_classifier import ImageClassifier

    torch.manual_seed(0)
    size = VitSize(16, 2, 2)
    encoder = Vit(size, 16, (32, 32))
    block = build_adapter(size.dim, source="random:32x48x4?seed=0").requires_grad_(False)
    head = ClassificationHead(size.dim, 3)
    torch.nn.init.normal_(head.fc.weight)  # so that pictures differ
    return ImageClassifier(encoder, block, head, input=PictureInput(32, 32, 0.875)).eval()
