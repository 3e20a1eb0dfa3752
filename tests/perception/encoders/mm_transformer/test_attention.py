"""The layers of mmTransformer against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from perception.encoders.mm_transformer.attention import (
    Decoder,
    EncoderLayer,
    LinearEmbedding,
    MultiHeadAttention,
    PositionalEncoding,
)


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = MultiHeadAttention(8, 2), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([linear.get_parameter("weight") for linear in list(ours.linears)[:3]]))
        theirs.in_proj_bias.copy_(torch.cat([linear.get_parameter("bias") for linear in list(ours.linears)[:3]]))
        theirs.out_proj.load_state_dict(ours.linears[3].state_dict())
    query, memory = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    valid = torch.arange(5) < torch.tensor([[5], [2], [1]])
    expected, _ = theirs(query, memory, memory, key_padding_mask=~valid)
    torch.testing.assert_close(ours(query, memory, memory, valid), expected)


def test_where_nothing_may_be_seen_attention_is_finite() -> None:
    layer, x = MultiHeadAttention(8, 2), torch.randn(1, 3, 8)
    assert layer(x, x, x, torch.zeros(1, 3, dtype=torch.bool)).isfinite().all()


def test_an_encoder_layer_is_torchs_with_the_norm_first() -> None:
    torch.manual_seed(0)
    ours = EncoderLayer(8, 2).eval()
    theirs = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True).eval()
    linears = list(ours.self_attn.linears)
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([linear.get_parameter("weight") for linear in linears[:3]]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([linear.get_parameter("bias") for linear in linears[:3]]))
        theirs.self_attn.out_proj.load_state_dict(linears[3].state_dict())
        theirs.linear1.load_state_dict(ours.feed_forward.w_1.state_dict())
        theirs.linear2.load_state_dict(ours.feed_forward.w_2.state_dict())
    x = torch.randn(2, 4, 8)
    torch.testing.assert_close(ours(x, None), theirs(x))


def test_agents_that_share_a_memory_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    decoder, x, memory = Decoder(8, 2, 2), torch.randn(2, 3, 4, 8), torch.randn(2, 5, 8)
    together = decoder(x, memory)
    for agent in range(3):
        torch.testing.assert_close(decoder(x[:, agent : agent + 1], memory), together[:, agent : agent + 1])


def test_a_position_is_a_sine_and_a_cosine_of_each_wavelength() -> None:
    encoded = PositionalEncoding(4, 6)(torch.zeros(1, 3, 4))
    place = torch.tensor(2.0)
    expected = torch.stack([place.sin(), place.cos(), (place / 100).sin(), (place / 100).cos()])
    torch.testing.assert_close(encoded[0, 2], expected)


def test_embeddings_are_scaled_by_the_root_of_their_width() -> None:
    embedding, x = LinearEmbedding(3, 16), torch.randn(5, 3)
    torch.testing.assert_close(embedding(x), 4 * embedding.lut(x))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads that divide dim=8, got heads=3"):
        MultiHeadAttention(8, 3)
