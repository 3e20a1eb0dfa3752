"""METER's co-attention: parity with BridgeTower's layer, simultaneous updates, padding, rows that are read."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from perception.fusion.co_attention import CoAttention, CoAttentionLayer
from perception.tokens import Readout, Tokens


def random_tokens(batch: int, count: int, dim: int, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    valid = torch.arange(count) < torch.randint(1, count + 1, (batch, 1), generator=generator)
    return Tokens(torch.randn(batch, count, dim, generator=generator), valid)


def shortened(tokens: Tokens, row: int) -> Tokens:
    """One entry of a batch without its padding."""
    return Tokens(tokens.values[[row]][:, tokens.valid[row]], tokens.valid[[row]][:, tokens.valid[row]])


@torch.no_grad()
def randomised(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return module.eval()


def test_a_layer_equals_transformers_layer_of_the_same_shape_given_masks() -> None:
    """That layer turns causal without masks; ours has no such case."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.bridgetower.modeling_bridgetower import BridgeTowerBertCrossLayer

    config = transformers.BridgeTowerTextConfig(
        hidden_size=16, num_attention_heads=2, intermediate_size=64, layer_norm_eps=1e-12, hidden_act="gelu"
    )
    config._attn_implementation = "eager"
    theirs = randomised(BridgeTowerBertCrossLayer(config))
    ours = CoAttentionLayer(16, 2, 0.1).eval()
    ours.load_state_dict(theirs.state_dict())
    own, other = random_tokens(3, 4, 16), random_tokens(3, 6, 16, seed=1)

    def mask(tokens: Tokens) -> torch.Tensor:
        return torch.where(tokens.valid, 0.0, torch.finfo(torch.float32).min)[:, None, None]

    expected = theirs(own.values, other.values, mask(own), mask(other))[0]
    torch.testing.assert_close(ours(own, other)[own.valid], expected[own.valid])


def test_both_streams_read_the_others_state_before_the_layer() -> None:
    fusion: Any = randomised(CoAttention(8, 2, 2))
    image, text = random_tokens(2, 5, 8), random_tokens(2, 3, 8, seed=1)
    x, y = image, text
    for image_layer, text_layer in zip(fusion.image_layers, fusion.text_layers, strict=True):
        x, y = x.replace(image_layer(x, y)), y.replace(text_layer(y, x))
    seen, read = fusion(image, text)
    torch.testing.assert_close(seen.values, x.values)
    torch.testing.assert_close(read, y.values)


def test_padding_changes_nothing() -> None:
    fusion = randomised(CoAttention(8, 2, 2))
    image, text = random_tokens(3, 5, 8), random_tokens(3, 4, 8, seed=1)
    seen, read = fusion(image, text)
    for row in range(3):
        alone, words = fusion(shortened(image, row), shortened(text, row))
        torch.testing.assert_close(seen.values[row, image.valid[row]], alone.values[0])
        torch.testing.assert_close(read[row, text.valid[row]], words[0])


def test_rows_that_are_not_read_are_not_needed() -> None:
    fusion = randomised(CoAttention(8, 2, 2))
    image, text = random_tokens(3, 5, 8), random_tokens(3, 4, 8, seed=1)
    every, first = fusion(image, text)[1], fusion(image, text, text_readout=Readout.first(text))[1]
    torch.testing.assert_close(first, every[:, :1])


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_one_start_of_a_picture_serves_any_number_of_texts(layers: int) -> None:
    fusion: Any = randomised(CoAttention(8, 2, layers))
    image, text = random_tokens(1, 5, 8), random_tokens(4, 3, 8, seed=1)
    shown = Tokens(image.values.expand(4, -1, -1), image.valid.expand(4, -1))
    first = Readout.first(text)
    seen, rows = fusion(shown, text, text_readout=first)
    once, read = fusion.join(fusion.start(image).expand(4), text, text_readout=first)
    torch.testing.assert_close(once.values, seen.values)
    torch.testing.assert_close(read, rows)
    x, y = shown, text
    for image_layer, text_layer in zip(fusion.image_layers, fusion.text_layers, strict=True):
        x, y = x.replace(image_layer(x, y)), y.replace(text_layer(y, x))
    torch.testing.assert_close(once.values, x.values)
    torch.testing.assert_close(read, y.values[:, :1])


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads that divide dim=8, got heads=3"):
        CoAttention(8, 3, 1)
