"""Other ways of scoring a picture against many captions: what `bench image-text` holds the ranking against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from perception.models.image_text import ImageText

Scores = Float32[Tensor, " captions"]


@torch.inference_mode()
def score_like_meter(
    model: ImageText, image: Float32[Tensor, "3 height width"], captions: Sequence[str], pairs: int
) -> Scores:
    """Puts every pair through both towers, captions in their order and padded to the longest that is allowed.

    This is the loop of METER's `compute_irtr_recall` (meter/modules/objectives.py).
    """
    found, longest = [], model.text.longest
    for start in range(0, len(captions), pairs):
        texts = model.text.batch(captions[start : start + pairs])
        missing = longest - texts.ids.shape[1]
        texts = type(texts)(nn.functional.pad(texts.ids, (0, missing)), nn.functional.pad(texts.valid, (0, missing)))
        repeated = image.expand(len(texts.ids), -1, -1, -1)
        found.append(model.rank(model.fuse(model.encode_image(repeated), model.encode_text(texts))))
    return torch.cat(found)


class BridgeTowerFusion(nn.Module):
    """BridgeTower's cross-modal layers of the transformers library: METER's shape, over tokens of both towers.

    Args:
        dim: Width of the tokens.
        heads: Number of heads.
        layers: Number of layers of each stream.
    """

    def __init__(self, dim: int, heads: int, layers: int) -> None:
        super().__init__()
        from transformers import BridgeTowerTextConfig
        from transformers.models.bridgetower.modeling_bridgetower import BridgeTowerBertCrossLayer

        config = BridgeTowerTextConfig(hidden_size=dim, num_attention_heads=heads, intermediate_size=4 * dim)
        config._attn_implementation = "sdpa"
        self.image_layers = nn.ModuleList(BridgeTowerBertCrossLayer(config) for _ in range(layers))
        self.text_layers = nn.ModuleList(BridgeTowerBertCrossLayer(config) for _ in range(layers))

    def forward(self, image: Tensor, text: Tensor, valid: Tensor) -> Tensor:
        """Returns the first row of both streams."""
        # With masks: this layer is causal without them.
        everything = torch.zeros(len(image), 1, 1, image.shape[1], dtype=image.dtype)
        mask = torch.zeros_like(valid, dtype=image.dtype).masked_fill(~valid, torch.finfo(image.dtype).min)
        mask = mask[:, None, None]
        for ours, theirs in zip(self.image_layers, self.text_layers, strict=True):
            image, text = ours(image, text, everything, mask)[0], theirs(text, image, mask, everything)[0]
        return torch.cat([text[:, 0], image[:, 0]], -1)


class ViltFusion(nn.Module):
    """ViLT's encoder of the transformers library, twelve layers over the tokens of both together."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        from transformers import ViltConfig
        from transformers.models.vilt.modeling_vilt import ViltEncoder

        config = ViltConfig(hidden_size=dim, num_attention_heads=heads, intermediate_size=4 * dim)
        config._attn_implementation = "eager"
        self.encoder = ViltEncoder(config)

    def forward(self, image: Tensor, text: Tensor, valid: Tensor) -> Tensor:
        """Returns the first row."""
        both = torch.cat([valid, valid.new_ones(image.shape[:2])], 1)
        mask = torch.zeros_like(both, dtype=image.dtype).masked_fill(~both, torch.finfo(image.dtype).min)
        out = self.encoder(torch.cat([text, image], 1), attention_mask=mask[:, None, None])
        return (out[0] if isinstance(out, tuple) else out.last_hidden_state)[:, 0]


@torch.inference_mode()
def run_fusion(
    fuse: Callable[[Tensor, Tensor, Tensor], Tensor],
    image: Float32[Tensor, "tokens dim"],
    captions: Sequence[Float32[Tensor, "_ dim"]],
    pairs: int,
) -> None:
    """Fuses a picture's tokens with each caption's, captions of similar length together."""
    order = sorted(captions, key=len)
    for start in range(0, len(order), pairs):
        part = order[start : start + pairs]
        text = nn.utils.rnn.pad_sequence(part, batch_first=True)
        valid = torch.arange(text.shape[1]) < torch.tensor([len(of) for of in part]).unsqueeze(1)
        fuse(image.expand(len(part), -1, -1), text, valid)
