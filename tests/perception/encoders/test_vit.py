from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from perception.encoders.vit import VIT_SIZES, Vit, VitSize, resample_pos_embed
from perception.errors import InputError

SMALL = VitSize(24, 4, 3)


def pair(
    size: VitSize, patch: int, picture: tuple[int, int], dtype: torch.dtype = torch.float32, **options: Any
) -> tuple[Vit, VisionTransformer]:
    """Our encoder and timm's, with the same random weights."""
    torch.manual_seed(0)
    ours = Vit(size, patch, picture, drop_path=options.get("drop_path_rate", 0.0)).to(dtype)
    theirs = VisionTransformer(
        picture, patch, embed_dim=size.dim, depth=size.depth, num_heads=size.heads, num_classes=0, **options
    ).to(dtype)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def values_and_gradients(model: torch.nn.Module, run: Callable[[Tensor], Tensor], images: Tensor) -> list[Tensor]:
    images = images.clone().requires_grad_()
    model.zero_grad()
    out = run(images)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert images.grad is not None
    assert all(gradient is not None for gradient in gradients.values())
    return [out.detach(), images.grad, *(gradients[name] for name in sorted(gradients))]  # pyright: ignore


def expect_equal(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).abs().max() <= tolerance * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    ("size", "patch", "picture"),
    [
        (VIT_SIZES["micro"], 4, (32, 32)),
        (VIT_SIZES["micro"], 8, (64, 64)),
        (VitSize(192, 2, 3), 16, (64, 96)),
        (VitSize(384, 2, 6), 14, (42, 28)),
        (SMALL, 4, (16, 8)),
    ],
)
def test_values_and_gradients_are_timms(
    size: VitSize, patch: int, picture: tuple[int, int], dtype: torch.dtype, tolerance: float
) -> None:
    ours, theirs = pair(size, patch, picture, dtype)
    images = torch.randn(2, 3, *picture, dtype=dtype)
    mine = values_and_gradients(ours, lambda x: ours(x).values, images)
    expect_equal(mine, values_and_gradients(theirs, theirs.forward_features, images), tolerance)


@pytest.mark.parametrize(
    ("name", "patch", "theirs"),
    [
        ("tiny", 16, "deit_tiny_patch16_224"),
        ("small", 16, "deit_small_patch16_224"),
        ("base", 16, "vit_base_patch16_224"),
        ("large", 16, "vit_large_patch16_224"),
        ("small", 14, "vit_small_patch14_dinov2"),
        ("large", 14, "vit_large_patch14_clip_224"),
    ],
)
def test_published_sizes_have_timms_names_and_shapes(name: str, patch: int, theirs: str) -> None:
    with torch.device("meta"):
        ours = Vit(VIT_SIZES[name], patch, (224, 224)).state_dict()
        timms = timm.create_model(theirs, img_size=224, num_classes=0).state_dict()
    extra = ("ls1.gamma", "ls2.gamma", "norm_pre.weight", "norm_pre.bias")  # DINOv2's layer scale, CLIP's first norm
    shapes = {n: v.shape for n, v in timms.items() if not n.endswith(extra)}
    patch_bias = {"patch_embed.proj.bias"} - shapes.keys()  # CLIP's has none
    assert {n: v.shape for n, v in ours.items() if n not in patch_bias} == shapes


@pytest.mark.parametrize("picture", [(32, 16), (8, 24), (40, 40)])
def test_pictures_of_another_size_are_seen_as_timm_sees_them(picture: tuple[int, int]) -> None:
    ours, theirs = pair(SMALL, 4, (16, 16), torch.float64, dynamic_img_size=True)
    images = torch.randn(2, 3, *picture, dtype=torch.float64)
    mine = values_and_gradients(ours, lambda x: ours(x).values, images)
    expect_equal(mine, values_and_gradients(theirs, theirs.forward_features, images), 1e-10)


@given(st.tuples(*[st.integers(1, 9)] * 4))
def test_position_embeddings_are_resampled_as_timm_does(sides: tuple[int, int, int, int]) -> None:
    old, new = sides[:2], sides[2:]
    embeddings = torch.randn(1, 1 + old[0] * old[1], 5, generator=torch.Generator().manual_seed(sum(sides)))
    theirs = resample_abs_pos_embed(embeddings, list(new), list(old))
    torch.testing.assert_close(resample_pos_embed(embeddings, old, new), theirs, rtol=0, atol=0)


def test_dropped_paths_are_timms() -> None:
    ours, theirs = pair(SMALL, 4, (8, 8), torch.float64, drop_path_rate=0.5)
    images = torch.randn(16, 3, 8, 8, dtype=torch.float64)
    rates = [layer.drop_path for layer in ours.blocks]
    assert rates == pytest.approx([0, 0.5 / 3, 1 / 3, 0.5])
    torch.manual_seed(3)
    mine = values_and_gradients(ours, lambda x: ours(x).values, images)
    torch.manual_seed(3)
    expect_equal(mine, values_and_gradients(theirs, theirs.forward_features, images), 1e-10)
    still = ours.eval()(images).values
    assert not torch.allclose(mine[0], still)
    torch.testing.assert_close(still, theirs.eval().forward_features(images), rtol=0, atol=1e-10)


def test_recomputing_layers_changes_neither_values_nor_gradients_nor_which_paths_are_dropped() -> None:
    ours, _ = pair(SMALL, 4, (8, 8), torch.float64, drop_path_rate=0.5)
    images = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    torch.manual_seed(3)
    kept = values_and_gradients(ours, lambda x: ours(x).values, images)
    ours.checkpointing = True
    calls = []
    ours.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    torch.manual_seed(3)
    again = values_and_gradients(ours, lambda x: ours(x).values, images)
    expect_equal(again, kept, 0)
    assert len(calls) == 2, "forward, and again for the gradient"


def test_channels_last_pictures_and_weights_give_the_same() -> None:
    ours, _ = pair(SMALL, 4, (16, 8))
    images = torch.randn(3, 3, 16, 8)
    expected = values_and_gradients(ours, lambda x: ours(x).values, images)
    last: Any = ours.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    assert last.patch_embed.proj.weight.is_contiguous(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    expect_equal(values_and_gradients(last, lambda x: last(x).values, images), expected, 1e-5)


def test_bfloat16_autocast_stays_near_float32_and_keeps_the_residual_stream_in_float32() -> None:
    ours, theirs = pair(SMALL, 4, (16, 16))
    images = torch.randn(2, 3, 16, 16)
    expected = ours(images).values
    with torch.autocast("cpu", torch.bfloat16):
        mine, timms = ours(images).values, theirs.forward_features(images)
    assert mine.dtype == timms.dtype == torch.float32
    assert 0 < (mine - expected).abs().max() < 0.1
    torch.testing.assert_close(mine, timms)


def test_without_gradients_the_values_are_the_same() -> None:
    ours, _ = pair(VIT_SIZES["micro"], 4, (32, 32))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        faster = ours(images).values
    torch.testing.assert_close(faster, ours(images).values.detach(), rtol=0, atol=1e-4)


@given(st.integers(0, 4))
def test_layers_in_two_calls_are_all_layers(middle: int) -> None:
    ours, _ = pair(SMALL, 4, (8, 8))
    tokens = ours.embed(torch.ones(1, 3, 8, 8))
    assert tokens.values.shape == (1, 5, 24)
    assert tokens.valid.all()
    parts = ours.layers(ours.layers(tokens, stop=middle), start=middle)
    assert torch.equal(parts.values, ours.layers(tokens).values)


def test_patches_are_read_row_by_row() -> None:
    ours, _ = pair(SMALL, 4, (8, 12))
    images = torch.zeros(1, 3, 8, 12)
    before = ours.embed(images).values
    images[0, :, 4, 0] = 1  # the first patch of the second row of three
    changed = (ours.embed(images).values != before).any(-1)[0]
    assert changed.nonzero().tolist() == [[4]]


@pytest.mark.parametrize("picture", [(30, 32), (32, 30), (0, 32)])
def test_a_side_that_patches_do_not_divide_is_named(picture: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=rf"picture of {picture[0]} × {picture[1]} pixels: expected .* patch, 4"):
        Vit(SMALL, 4, picture)
    with pytest.raises(InputError, match="multiples of the patch"):
        Vit(SMALL, 4, (32, 32)).embed(torch.zeros(1, 3, *picture))


def test_initial_weights_have_timms_distribution() -> None:
    torch.manual_seed(0)
    ours = Vit(VitSize(192, 6, 3), 4, (32, 32)).state_dict()
    theirs = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=4, depth=6, num_classes=0).state_dict()
    for name, value in theirs.items():
        mine = ours[name]
        assert mine.std(correction=0) == pytest.approx(float(value.std(correction=0)), rel=0.15, abs=1e-9), name
        assert mine.mean() == pytest.approx(float(value.mean()), abs=0.01), name
