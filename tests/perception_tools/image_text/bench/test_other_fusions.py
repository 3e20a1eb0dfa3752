"""Fusions of the transformers library: they read every caption alone, and not causally."""

from __future__ import annotations

import pytest
import torch

from perception.tokens import Tokens

pytest.importorskip("transformers")


@torch.inference_mode()
def test_bridgetowers_fusion_equals_ours_with_its_weights() -> None:
    from perception.fusion.co_attention import CoAttention
    from perception_tools.image_text.bench.other_fusions import BridgeTowerFusion

    torch.manual_seed(0)
    theirs, ours = BridgeTowerFusion(16, 2, 2).eval(), CoAttention(16, 2, 2).eval()
    for layer in (*ours.image_layers, *ours.text_layers):
        for norm in (part for part in layer.modules() if isinstance(part, torch.nn.LayerNorm)):
            norm.eps = 1e-5  # BridgeTower's
    ours.load_state_dict(theirs.state_dict())
    image, text = torch.randn(3, 5, 16), torch.randn(3, 4, 16)
    valid = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
    found = theirs(image, text, valid)
    seen, rows = ours(Tokens(image, torch.ones(3, 5, dtype=torch.bool)), Tokens(text, valid))
    torch.testing.assert_close(found, torch.cat([rows[:, 0], seen.values[:, 0]], -1))


@torch.inference_mode()
def test_vilts_encoder_reads_no_padding() -> None:
    from perception_tools.image_text.bench.other_fusions import ViltFusion

    torch.manual_seed(0)
    fusion = ViltFusion(16, 2).eval()
    image, text = torch.randn(1, 5, 16), torch.randn(1, 4, 16)
    short = fusion(image, text[:, :2], torch.ones(1, 2, dtype=torch.bool))
    padded = fusion(image, text, torch.tensor([[True, True, False, False]]))
    torch.testing.assert_close(short, padded, atol=1e-5, rtol=1e-5)
