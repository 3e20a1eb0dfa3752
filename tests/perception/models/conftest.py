"""A tiny model of pictures with texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # what is imported here escapes the shape checks: pytest installs them after this file
    from perception.models.image_text import ImageText


@pytest.fixture(scope="session")
def make_image_text() -> Callable[..., ImageText]:
    """Makes a model with random weights, answers or a rank, and options of its block."""
    pytest.importorskip("transformers")

    def make(*, streams: Any = "image", ranks: bool = False, **block: Any) -> ImageText:
        import torch

        from perception.encoders.clip_vision import ClipVision
        from perception.encoders.roberta import RobertaText
        from perception.encoders.vit import VitSize
        from perception.frozen.adapter import build_adapter
        from perception.fusion.co_attention import CoAttention
        from perception.models.image_text import ImageText
        from perception.texts.tokenizer import WordTokenizer

        torch.manual_seed(0)
        image = ClipVision(VitSize(16, 1, 2), 8, 16)
        tokenizer = WordTokenizer("is it red a zebra ?".split())
        text = RobertaText(tokenizer, VitSize(16, 1, 2), longest=8, positions=12)
        adapter = build_adapter(24, **{"source": "random:32x48x4?seed=0", "init": "default", **block})
        heads = {"answers": 0 if ranks else 5, "ranks": ranks}
        model = ImageText(image, text, CoAttention(24, 2, 2), adapter, dim=24, streams=streams, **heads)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not name.startswith("block."):
                    parameter.add_(0.2 * torch.randn_like(parameter))
        return model.eval()

    return make
