from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from perception.encoders.video_mae import (
    VIDEO_MAE_SIZES,
    VideoMae,
    VideoMaeAttention,
    sinusoid_table,
    tubelets_of,
)
from perception.encoders.video_mae_weights import published_names
from perception.encoders.vit import VitSize
from perception.errors import InputError

SIZE = VitSize(24, 3, 3)
CLIP = (4, 16, 24)


def config(**changes: Any) -> Any:
    """Hugging Face's configuration of the same size."""
    from transformers import VideoMAEConfig

    numbers = {
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "intermediate_size": 96,
        "image_size": list(CLIP[1:]),
        "num_frames": CLIP[0],
        "patch_size": 8,
        "layer_norm_eps": 1e-6,
        "decoder_hidden_size": 16,
        "decoder_num_hidden_layers": 2,
        "decoder_num_attention_heads": 2,
        "decoder_intermediate_size": 64,
    }
    return VideoMAEConfig(**(numbers | changes))


def pair(dtype: torch.dtype = torch.float32) -> tuple[VideoMae, Any]:
    """Our encoder and transformers' model, with the same random weights."""
    from transformers import VideoMAEModel

    torch.manual_seed(0)
    theirs: Any = VideoMAEModel(config())
    theirs.to(dtype)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours = VideoMae(SIZE, 8, CLIP).to(dtype)
    ours.load_state_dict(published_names(theirs.state_dict(), Path("theirs")), strict=True)
    return ours, theirs


def clips(count: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, 3, *CLIP, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_are_those_of_transformers(training: bool) -> None:
    ours, theirs = pair()
    ours.train(training)
    theirs.train(training)
    mine, other = clips().requires_grad_(), clips().requires_grad_()
    out = ours(mine).values
    reference = theirs(other.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(out, reference, rtol=0, atol=1e-5)
    weight = torch.linspace(-1, 1, out.numel()).view_as(out)
    (out * weight).sum().backward()
    (reference * weight).sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)
    gradients = {name: parameter.grad for name, parameter in ours.named_parameters()}
    attention = theirs.encoder.layer[1].attention.attention
    theirs_q = attention.query.bias if attention.query.bias is not None else attention.q_bias  # older releases
    torch.testing.assert_close(gradients["blocks.1.attn.q_bias"], theirs_q.grad, rtol=1e-4, atol=1e-5)


def test_values_without_gradients_are_the_same() -> None:
    ours, theirs = pair()
    with torch.no_grad():
        torch.testing.assert_close(
            ours(clips()).values, theirs(clips().transpose(1, 2)).last_hidden_state, rtol=0, atol=1e-5
        )


def test_visible_tubelets_alone_are_those_of_transformers() -> None:
    ours, theirs = pair()
    masked = torch.zeros(2, 12, dtype=torch.bool)
    masked[0, :9], masked[1, 2:11] = True, True
    mine = ours.layers(ours.embed(clips(), ~masked)).values
    assert mine.shape == (2, 3, 24)
    other = theirs(clips().transpose(1, 2), bool_masked_pos=masked).last_hidden_state
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 12).map(lambda half: 2 * half))
def test_the_table_of_positions_is_that_of_transformers(positions: int, dim: int) -> None:
    from transformers.models.videomae.modeling_videomae import get_sinusoid_encoding_table

    torch.testing.assert_close(
        sinusoid_table(positions, dim), get_sinusoid_encoding_table(positions, dim), rtol=0, atol=1e-7
    )


def test_the_table_is_neither_trained_nor_stored() -> None:
    encoder = VideoMae(SIZE, 8, CLIP)
    assert "pos_embed" not in encoder.state_dict()
    assert "pos_embed" not in dict(encoder.named_parameters())
    assert encoder.to(torch.float64).pos_embed.dtype == torch.float64


def test_keys_have_no_bias_and_a_bias_of_theirs_would_change_nothing() -> None:
    torch.manual_seed(0)
    attention, x = VideoMaeAttention(24, 3), torch.randn(2, 5, 24)
    assert {name for name, _ in attention.named_parameters()} == {
        "q_bias", "v_bias", "qkv.weight", "proj.weight", "proj.bias",
    }  # fmt: skip
    with torch.no_grad():
        attention.q_bias.normal_()
        attention.v_bias.normal_()
    key_bias = torch.randn(24)
    bias = torch.cat([attention.q_bias, key_bias, attention.v_bias])
    with_key_bias = attention.attend(torch.nn.functional.linear(x, attention.qkv.weight, bias))
    torch.testing.assert_close(attention(x), with_key_bias, rtol=1e-5, atol=1e-5)


def test_tubelets_are_read_time_by_time_then_row_by_row() -> None:
    time, row, column = torch.meshgrid(torch.arange(4), torch.arange(4), torch.arange(6), indexing="ij")
    clip = (100 * (time // 2) + 10 * (row // 2) + column // 2).float().expand(1, 3, -1, -1, -1)
    found = tubelets_of(clip, (2, 2, 2))
    assert found.shape == (1, 12, 24)
    assert found[0, :, 0].tolist() == [0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112]
    assert (found == found[:, :, :1]).all()


def test_published_sizes_have_the_names_and_shapes_of_transformers() -> None:
    from transformers import VideoMAEModel

    for name, depth in (("small", 12), ("base", 12), ("large", 24)):
        size = VIDEO_MAE_SIZES[name]
        with torch.device("meta"):
            ours = VideoMae(size, 16, (16, 224, 224))
            theirs = VideoMAEModel(
                config(
                    hidden_size=size.dim,
                    num_hidden_layers=depth,
                    num_attention_heads=size.heads,
                    intermediate_size=4 * size.dim,
                    image_size=32,  # its table of positions is slow to make, and not stored
                    num_frames=2,
                    patch_size=16,
                )
            )
        assert ours.grid == (8, 14, 14)
        expected = published_names(theirs.state_dict(), Path("theirs"))
        assert {n: v.shape for n, v in ours.state_dict().items()} == {n: v.shape for n, v in expected.items()}


def test_recomputing_layers_changes_neither_values_nor_gradients() -> None:
    torch.manual_seed(0)
    kept = VideoMae(SIZE, 8, CLIP, drop_path=0.5)
    again = VideoMae(SIZE, 8, CLIP, drop_path=0.5, checkpointing=True)
    again.load_state_dict(kept.state_dict())
    gradients = []
    for encoder in (kept, again):
        torch.manual_seed(3)
        out = encoder(clips(8)).values
        out.square().sum().backward()
        gradients.append([out.detach(), *(p.grad for p in encoder.parameters())])
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ((3, 16, 24), "multiples of a tubelet's 2 × 8 × 8"),
        ((4, 16, 20), "clip of 4 × 16 × 20"),
        ((0, 8, 8), "multiples"),
    ],
)
def test_clips_that_tubelets_do_not_fill_are_refused(clip: tuple[int, int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        VideoMae(SIZE, 8, clip)


def test_clips_of_another_size_than_the_table_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected 4 × 16 × 24 .images, height, width., got 2 × 16 × 24"):
        VideoMae(SIZE, 8, CLIP)(torch.zeros(1, 3, 2, 16, 24))
