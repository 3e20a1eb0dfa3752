"""Point-BERT: Pre-training 3D Point Cloud Transformers with Masked Point Modeling (https://arxiv.org/abs/2111.14819).

A cloud becomes groups of neighbouring points around centres that lie far from each other; a small PointNet maps each
group to a token (§3.1). As in the authors' code, positions are added again before every layer, query, key and value
have no biases, and centres are chosen from the first point on. Parameters have the names of that code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from perception.clouds.grouping import farthest_points, nearest_neighbors, take
from perception.encoders.vit import Attention, VitSize, make_layers
from perception.tokens import Tokens

EPS = 1e-5
POSITION_WIDTH = 128


@dataclass(frozen=True)
class PointBertSize:
    """The size of a Point-BERT.

    Attributes:
        transformer: Width, depth and heads.
        group_dim: Width of a group's feature; the widths inside the small PointNet follow from it.
    """

    transformer: VitSize
    group_dim: int


POINT_BERT_SIZES: Mapping[str, PointBertSize] = MappingProxyType(
    {
        "micro": PointBertSize(VitSize(96, 4, 3), 64),
        "small": PointBertSize(VitSize(384, 12, 6), 256),
    }
)
"""Name → size. `small` is the paper's; `micro`, 0.5 million weights, learns from some thousand clouds on a CPU."""


@dataclass(frozen=True)
class Groups:
    """The groups of a batch of clouds.

    Attributes:
        centres: Centre of each group.
        points: Points of each group, relative to its centre.
    """

    centres: Float[Tensor, "batch groups 3"]
    points: Float[Tensor, "batch groups size 3"]


@dataclass(frozen=True)
class PositionedTokens:
    """Tokens before the first layer, and what is added to them before every layer.

    Attributes:
        tokens: The class token, then a token for each group.
        positions: Embedding of each token's position.
    """

    tokens: Tokens
    positions: Float[Tensor, "batch tokens dim"]


def group_points(points: Float[Tensor, "batch points 3"], groups: int, size: int) -> Groups:
    """Divides clouds into groups around the points in farthest-point order; a point may be in several groups.

    A cloud with fewer points than a group has them several times in each group.

    Args:
        points: Clouds of at least one point.
        groups: Number of groups; where there are fewer distinct points, centres repeat.
        size: Number of points in a group.
    """
    centres = take(points, farthest_points(points, groups))
    if torch.compiler.is_exporting():  # any number of points, which is not known yet
        _, index = nearest_neighbors(centres, points, size)
        found = torch.ones_like(index[0, 0]).sum()
        index = index.index_select(-1, torch.arange(size, device=points.device) % found)
    else:
        _, index = nearest_neighbors(centres, points, min(size, points.shape[1]))
        index = index.repeat(1, 1, -(-size // index.shape[2]))[..., :size]
    return Groups(centres, take(points, index) - centres.unsqueeze(2))


class MiniPointNet(nn.Module):
    """Maps the points of a group to one feature, whatever their order.

    Args:
        dim: Width of the feature.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first_conv = _pointwise(3, dim // 2, dim)
        self.second_conv = _pointwise(2 * dim, 2 * dim, dim)

    def forward(self, groups: Float[Tensor, "batch groups size 3"]) -> Float[Tensor, "batch groups dim"]:
        """Returns a feature for each group."""
        each = _through(self.first_conv, groups)
        whole = _largest(each).unsqueeze(2).expand_as(each)
        return _largest(_through(self.second_conv, torch.cat([whole, each], -1)))


def _largest(each: Float[Tensor, "batch groups size dim"]) -> Float[Tensor, "batch groups dim"]:
    # Both give the same values: `max` is cheaper to differentiate, `amax` ten times cheaper to compute.
    return each.max(2).values if torch.is_grad_enabled() else each.amax(2)


def _pointwise(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(before, hidden, 1), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Conv1d(hidden, after, 1))


def _through(layers: nn.Sequential, x: Float[Tensor, "*points before"]) -> Float[Tensor, "*points after"]:
    """Applies a `_pointwise` to rows of points: convolutions of width 1 are linear maps, which are faster on rows."""
    first, norm, _, second = layers
    assert isinstance(first, nn.Conv1d)
    assert isinstance(norm, nn.BatchNorm1d)
    assert isinstance(second, nn.Conv1d)
    assert first.bias is not None
    weight, bias = first.weight.squeeze(-1), first.bias
    rows = x.flatten(0, -2)
    if norm.training:
        hidden = norm(F.linear(rows, weight, bias))
    else:  # one map for both saves a pass over all points
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        hidden = F.linear(rows, weight * scale.unsqueeze(1), (bias - norm.running_mean) * scale + norm.bias)
    return F.linear(hidden.relu(), second.weight.squeeze(-1), second.bias).unflatten(0, x.shape[:-1])


class _Attention(Attention):
    """Attention without biases of query, key and value."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(dim, heads, bias=False)


class _Layers(nn.Module):
    """The layers, under the published code's name `blocks.blocks`."""

    def __init__(self, size: VitSize, drop_path: float) -> None:
        super().__init__()
        self.blocks = make_layers(size, drop_path, EPS, _Attention)


class PointBert(nn.Module):
    """The encoder of Point-BERT.

    Args:
        size: Size.
        groups: Number of groups.
        group_size: Number of points in a group.
        drop_path: Probability that a sample skips a part of the last layer in training; it rises linearly from 0 in the
            first layer.

    Attributes:
        norm: Norm of the tokens that a head reads.
    """

    def __init__(self, size: PointBertSize, groups: int, group_size: int = 32, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.size, self.groups, self.group_size = size, groups, group_size
        dim = size.transformer.dim
        self.encoder = MiniPointNet(size.group_dim)
        self.reduce_dim = nn.Linear(size.group_dim, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.cls_pos = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embed = nn.Sequential(nn.Linear(3, POSITION_WIDTH), nn.GELU(), nn.Linear(POSITION_WIDTH, dim))
        self.blocks = _Layers(size.transformer, drop_path)
        self.norm = nn.LayerNorm(dim, EPS)

    def forward(self, points: Float[Tensor, "batch points 3"]) -> Tokens:
        """Returns the class token, then a token for each group, after the last norm."""
        tokens = self.layers(self.embed(self.group(points)))
        return tokens.replace(self.norm(tokens.values))

    def group(self, points: Float[Tensor, "batch points 3"]) -> Groups:
        """Divides clouds into groups; see `group_points`."""
        return group_points(points, self.groups, self.group_size)

    def embed(self, groups: Groups) -> PositionedTokens:
        """Returns the class token and the groups before the first layer."""
        values = self.reduce_dim(self.encoder(groups.points))
        return self.with_class_token(values, groups.centres)

    def with_class_token(
        self, values: Float[Tensor, "batch groups dim"], centres: Float[Tensor, "batch groups 3"]
    ) -> PositionedTokens:
        """Puts the class token before tokens of groups, and gives all of them positions."""
        batch = values.shape[0]  # a graph that is traced keeps this open, but not len(values)
        values = torch.cat([self.cls_token.expand(batch, -1, -1), values], 1)
        positions = torch.cat([self.cls_pos.expand(batch, -1, -1), self.pos_embed(centres)], 1)
        valid = torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
        return PositionedTokens(Tokens(values, valid), positions)

    def layers(self, embedded: PositionedTokens) -> Tokens:
        """Applies all layers."""
        x = embedded.tokens.values
        for layer in self.blocks.blocks:
            x = layer(x + embedded.positions)
        return embedded.tokens.replace(x)

    def no_weight_decay(self) -> set[str]:
        """Names that timm's parameter groups leave without weight decay, as the published code does.

        `cls_pos` is decayed there: only names with `token`, biases and parameters of one axis are not.
        """
        return {"cls_token"}
