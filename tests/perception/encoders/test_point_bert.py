"""Point-BERT, compared with timm's layers and the definition of its groups."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from perception.encoders.point_bert import POINT_BERT_SIZES, MiniPointNet, PointBert, PointBertSize, group_points
from perception.encoders.vit import VitSize

SIZE = PointBertSize(VitSize(24, 3, 3), 16)


def encoder(groups: int = 6, **options: float) -> PointBert:
    torch.manual_seed(0)
    made = PointBert(SIZE, groups, 8, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def published(mine: PointBert, points: Tensor) -> Tensor:
    """The graph of the published code: convolutions, timm's layers, positions added before each."""
    state = mine.state_dict(keep_vars=True)
    groups = group_points(points, mine.groups, mine.group_size)
    x = groups.points.flatten(0, 1).mT
    for part in ("first_conv", "second_conv"):
        convolution = getattr(mine.encoder, part)
        x = convolution(x)
        largest = x.max(2, keepdim=True).values
        x = torch.cat([largest.expand_as(x), x], 1) if part == "first_conv" else largest.squeeze(2)
    x = F.linear(x, state["reduce_dim.weight"], state["reduce_dim.bias"]).unflatten(0, groups.points.shape[:2])
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1)
    positions = torch.cat([state["cls_pos"].expand(len(x), -1, -1), mine.pos_embed(groups.centres)], 1)
    for index in range(SIZE.transformer.depth):
        layer = Block(24, 3, qkv_bias=False, norm_layer=nn.LayerNorm)
        prefix = f"blocks.blocks.{index}."
        weights = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
        x = torch.func.functional_call(layer, weights, (x + positions,), strict=True)
    return F.layer_norm(x, (24,), state["norm.weight"], state["norm.bias"])


@pytest.mark.parametrize("training", [False, True])
def test_tokens_and_gradients_are_those_of_the_published_graph(training: bool) -> None:
    mine = encoder().double()
    points = torch.randn(3, 40, 3, dtype=torch.float64)
    if training:
        mine.train()  # BatchNorm by the statistics of the batch; nothing is dropped
    given = mine(points).values
    expected = published(mine, points)
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-10)
    weights = [mine.encoder.first_conv[0].weight, mine.pos_embed[0].weight, mine.cls_pos]
    for one, other in zip(
        torch.autograd.grad(given.square().sum(), weights, retain_graph=True),
        torch.autograd.grad(published(mine, points).square().sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_evaluation_without_gradients_gives_the_same_values() -> None:
    mine, points = encoder(), torch.randn(2, 40, 3)
    with torch.no_grad():
        without = mine(points).values
    torch.testing.assert_close(without, mine(points).values, rtol=0, atol=1e-5)


def test_parameters_have_the_published_names() -> None:
    with torch.device("meta"):
        names = set(PointBert(POINT_BERT_SIZES["small"], 64).state_dict())
    layer = ("norm1", "norm2", "attn.proj", "mlp.fc1", "mlp.fc2")
    expected = {"cls_token", "cls_pos", "norm.weight", "norm.bias", "reduce_dim.weight", "reduce_dim.bias"}
    expected |= {f"pos_embed.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")}
    for conv in ("first_conv", "second_conv"):
        expected |= {f"encoder.{conv}.{i}.{kind}" for i in (0, 1, 3) for kind in ("weight", "bias")}
        expected |= {f"encoder.{conv}.1.{kind}" for kind in ("running_mean", "running_var", "num_batches_tracked")}
    for index in range(12):
        prefix = f"blocks.blocks.{index}."
        expected |= {f"{prefix}attn.qkv.weight"}
        expected |= {f"{prefix}{part}.{kind}" for part in layer for kind in ("weight", "bias")}
    assert names == expected


def test_the_papers_size_has_the_published_shapes() -> None:
    with torch.device("meta"):
        state = PointBert(POINT_BERT_SIZES["small"], 64).state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes["encoder.first_conv.0.weight"] == (128, 3, 1)
    assert shapes["encoder.first_conv.3.weight"] == (256, 128, 1)
    assert shapes["encoder.second_conv.0.weight"] == (512, 512, 1)
    assert shapes["encoder.second_conv.3.weight"] == (256, 512, 1)
    assert shapes["reduce_dim.weight"] == (384, 256)
    assert shapes["pos_embed.0.weight"] == (128, 3)
    assert shapes["blocks.blocks.11.mlp.fc1.weight"] == (1536, 384)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**16))
def test_the_order_of_a_groups_points_does_not_matter(seed: int) -> None:
    torch.manual_seed(seed)
    net, groups = MiniPointNet(16).eval(), torch.randn(2, 3, 9, 3)
    torch.testing.assert_close(net(groups), net(groups[:, :, torch.randperm(9)]), rtol=0, atol=1e-5)


def test_groups_are_the_nearest_points_of_far_centres() -> None:
    points = torch.randn(2, 50, 3)
    groups = group_points(points, 5, 7)
    assert torch.equal(groups.centres[:, 0], points[:, 0])
    for cloud, centres, members in zip(
        points, groups.centres, groups.points + groups.centres.unsqueeze(2), strict=True
    ):
        distances = torch.cdist(centres.double(), cloud.double()).float().sort(dim=1).values
        for centre, group, nearest in zip(centres, members, distances, strict=True):
            torch.testing.assert_close((group - centre).norm(dim=1).sort().values, nearest[:7], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_clouds_smaller_than_a_group_are_seen_too(count: int) -> None:
    mine = encoder()
    few = torch.randn(2, count, 3)
    tokens = mine(few)
    assert tokens.values.shape == (2, 7, 24)
    assert tokens.values.isfinite().all()


def test_rows_are_dropped_in_training_alone() -> None:
    mine, points = encoder(drop_path=0.9), torch.randn(4, 40, 3)
    assert torch.equal(mine(points).values, mine(points).values)
    for module in mine.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 0.0
    mine.train()
    assert not torch.equal(mine(points).values, mine(points).values)


def test_class_positions_decay_and_class_tokens_do_not() -> None:
    assert encoder().no_weight_decay() == {"cls_token"}
