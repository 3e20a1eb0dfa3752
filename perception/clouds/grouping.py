"""The point operations of PointNet++ in plain torch, for any device and without a compiler.

The values are those of the CUDA kernels of PointNet++ (https://arxiv.org/abs/1706.02413), including ties: of equal
distances the lower index wins, and squared distances are summed x, y, z in the type of the points.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from perception.clouds.buckets import Buckets, group_nearby
from perception.clouds.farthest import farthest_among
from perception.clouds.traced import ball_query_traced, farthest_points_traced, nearest_traced

ORIGIN_RADIUS_SQUARED = 1e-3
"""The CUDA kernel never chooses points this near the origin, since its authors pad clouds with zeros; m²."""
FEW_POINTS, BATCH = 512, 16
"""On a CPU, sampling step by step is faster for up to this many points times the number of clouds, which counts up to
`BATCH`. On a core of an AMD EPYC, 64 of 1,024 points take 0.2 ms a cloud in batches of 32 in place of 2 ms, and 1.5 ms
in place of 2 ms alone; from 8,192 points on, boxes win in batches too."""
PAIRS_AT_ONCE = 2**22
"""Maximum number of distances in memory at once, whatever the size of the clouds."""


def farthest_points(
    points: Float[Tensor, "batch points 3"],
    count: int,
    valid: Bool[Tensor, "batch points"] | None = None,
    *,
    skip_origin: bool = False,
    start: Int[Tensor, " batch"] | None = None,
) -> Int[Tensor, "batch {count}"]:
    """Farthest point sampling: starts at one point and always adds the point farthest from those chosen.

    Every prefix is itself such a sample, and sampling a sample gives its prefix. Indices repeat if there are fewer
    distinct points than `count`.

    Args:
        points: Clouds.
        count: Number of points to choose.
        valid: False for padding.
        skip_origin: Whether to skip points within 3.2 cm of the origin, except the first, as the CUDA kernel of
            PointNet++ and VoteNet does.
        start: Index of the point that each cloud's sample starts at; by default the first valid one.
    """
    eligible = torch.ones_like(points[..., 0], dtype=torch.bool) if valid is None else valid
    first = eligible.int().argmax(1) if start is None else start
    if skip_origin:
        eligible = eligible & (_square(points) > ORIGIN_RADIUS_SQUARED)
    if torch.compiler.is_exporting():
        return farthest_points_traced(points, count, eligible, first)
    if points.device.type == "cpu" and points.shape[1] > FEW_POINTS * min(len(points), BATCH):
        detached = points.detach()
        return torch.stack([farthest_among(*cloud, count) for cloud in zip(detached, eligible, first, strict=True)])
    return farthest_points_step_by_step(points, count, eligible, first)


def farthest_points_step_by_step(
    points: Float[Tensor, "batch points 3"],
    count: int,
    eligible: Bool[Tensor, "batch points"],
    first: Int[Tensor, " batch"],
) -> Int[Tensor, "batch {count}"]:
    """The definition of `farthest_points` with one pass over all points per choice, for GPUs and small clouds."""
    x, y, z = (axis.contiguous() for axis in points.detach().unbind(-1))
    nearest = torch.where(eligible, torch.inf, -1.0).to(points.dtype)
    squared, term = torch.empty_like(nearest), torch.empty_like(nearest)
    chosen = first.unsqueeze(1).repeat(1, count)
    for step in range(1, count):
        last = chosen[:, step - 1 : step]
        torch.sub(x, x.gather(1, last), out=squared).square_()
        squared.add_(torch.sub(y, y.gather(1, last), out=term).square_())
        squared.add_(torch.sub(z, z.gather(1, last), out=term).square_())
        torch.minimum(nearest, squared, out=nearest)
        chosen[:, step] = nearest.argmax(1)
    return torch.where(eligible.any(1, keepdim=True), chosen, first.unsqueeze(1))


def ball_query(
    centres: Float[Tensor, "batch centres 3"],
    points: Float[Tensor, "batch points 3"],
    radius: float,
    count: int,
    valid: Bool[Tensor, "batch points"] | None = None,
) -> Int[Tensor, "batch centres {count}"]:
    """Returns the first `count` points by index that are nearer than `radius` to each centre.

    If a ball holds fewer points, its first one is repeated; a ball without points gets index 0, as in the CUDA kernel.

    Args:
        centres: Centres of the balls.
        points: Clouds.
        radius: Radius of the balls; a point at exactly this distance is outside.
        count: Number of points per ball.
        valid: False for padding.
    """
    if torch.compiler.is_exporting():
        return ball_query_traced(_square_distances(centres, points, valid), radius, count)
    clouds = zip(centres.detach(), points.detach(), [None] * len(points) if valid is None else valid, strict=True)
    return torch.stack([_ball_query_of_one(*cloud, radius, count) for cloud in clouds])


def _ball_query_of_one(
    centres: Float[Tensor, "centres 3"],
    points: Float[Tensor, "points 3"],
    valid: Bool[Tensor, " points"] | None,
    radius: float,
    count: int,
) -> Int[Tensor, "centres {count}"]:
    inside = torch.ones_like(points[:, 0], dtype=torch.bool) if valid is None else valid
    if not inside.any() or not len(centres):
        return torch.zeros(len(centres), count, dtype=torch.long, device=points.device)
    buckets = group_nearby(points, inside)
    chunks = centres.split(max(1, PAIRS_AT_ONCE // len(points)))
    return torch.cat([_first_in_balls(chunk, buckets, radius, count, len(points)) for chunk in chunks])


def _first_in_balls(
    centres: Float[Tensor, "centres 3"], buckets: Buckets, radius: float, count: int, points: int
) -> Int[Tensor, "centres {count}"]:
    """Searches only the buckets whose boxes a ball touches."""
    limit = centres.new_tensor(radius) ** 2
    centre, bucket = (buckets.square_distance(centres) < limit).nonzero(as_tuple=True)
    near = _square(buckets.points[bucket] - centres[centre].unsqueeze(1)) < limit
    pair, slot = (near & (buckets.index[bucket] >= 0)).nonzero(as_tuple=True)
    key = (centre[pair] * points + buckets.index[bucket[pair], slot]).sort().values
    centre, point = key // points, key % points
    hits = centre.bincount(minlength=len(centres))
    rank = torch.arange(len(key), device=key.device) - (hits.cumsum(0) - hits)[centre]
    kept = rank < count
    found = torch.zeros(len(centres), count, dtype=torch.long, device=centres.device)
    found[centre[kept], rank[kept]] = point[kept]
    filled = torch.arange(count, device=centres.device) < hits.unsqueeze(1)
    return torch.where(filled, found, found[:, :1])


def nearest_neighbors(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    count: int,
    valid: Bool[Tensor, "batch points"] | None = None,
) -> tuple[Float[Tensor, "batch queries {count}"], Int[Tensor, "batch queries {count}"]]:
    """Returns distances (not squared) and indices of the nearest points of each query, nearest first.

    Padding comes last, at infinite distance; of equally distant points the lower index comes first.
    """
    chunks = []
    for part in _chunks(queries, points):
        squared, index = _nearest(_square_distances(part, points, valid), count)
        chunks.append((squared.sqrt(), index))
    distances, indices = zip(*chunks, strict=True)
    return torch.cat(distances, dim=1), torch.cat(indices, dim=1)


def three_nearest(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    valid: Bool[Tensor, "batch points"] | None = None,
) -> tuple[Float[Tensor, "batch queries 3"], Int[Tensor, "batch queries 3"]]:
    """Returns distances and indices of each query's three nearest points; ties go to the lower index.

    If there are fewer than three valid points, the rest is index 0 at infinite distance.
    """
    chunks = []
    for part in _chunks(queries, points):
        squared, index = _three_smallest(_square_distances(part, points, valid))
        chunks.append((squared.sqrt(), index))
    distances, indices = (torch.cat(part, dim=1) for part in zip(*chunks, strict=True))
    return distances, torch.where(distances.isinf(), 0, indices)


def interpolate(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    values: Float[Tensor, "batch points dim"],
    valid: Bool[Tensor, "batch points"] | None = None,
) -> Float[Tensor, "batch queries dim"]:
    """Interpolates the values of the three nearest points, weighted by 1 / (distance + 1e-8).

    PointNet++ (§3.4) squares the distance. Each cloud needs at least one valid point.
    """
    distance, index = three_nearest(queries, points, valid)
    weight = 1 / (1 + distance / 1e-8)  # in proportion to that; exporters drop a sum with 1e-8
    weight = weight / weight.sum(-1, keepdim=True)
    return (take(values, index) * weight.unsqueeze(-1)).sum(-2)


def take(
    values: Float[Tensor, "batch points dim"], index: Int[Tensor, " batch *rows"]
) -> Float[Tensor, "batch *rows dim"]:
    """Gathers rows of each cloud by index."""
    batch, points, dim = values.shape
    start = points * torch.arange(batch, device=index.device).view(-1, *[1] * (index.ndim - 1))
    return values.reshape(-1, dim).index_select(0, (index + start).flatten()).view(*index.shape, dim)


def _chunks(
    queries: Float[Tensor, "batch queries 3"], points: Float[Tensor, "batch points 3"]
) -> Sequence[Float[Tensor, "batch _ 3"]]:
    """Queries in parts that have at most `PAIRS_AT_ONCE` distances; all at once in an exported graph."""
    if torch.compiler.is_exporting():
        return [queries]
    return queries.split(max(1, PAIRS_AT_ONCE // points[..., 0].numel()), dim=1)


def _nearest(
    squared: Float[Tensor, "batch queries points"], count: int
) -> tuple[Float[Tensor, "batch queries {count}"], Int[Tensor, "batch queries {count}"]]:
    """The smallest squared distances and their indices; ties go to the lower index, which `topk` does not promise."""
    if torch.compiler.is_exporting():
        return nearest_traced(squared, count)
    if squared.dtype != torch.float32:
        ordered = squared.sort(dim=-1, stable=True)
        return ordered.values[..., :count], ordered.indices[..., :count]
    # Bits of floats that are not negative are in the order of their values. With the index behind them no two keys are
    # equal, and choosing the smallest takes a third of the time of a stable sort.
    index = torch.arange(squared.shape[-1], device=squared.device)
    keys = (squared.view(torch.int32).long() << 32 | index).topk(count, dim=-1, largest=False).values
    nearest = keys & 0xFFFFFFFF
    return squared.gather(-1, nearest), nearest


def _three_smallest(
    squared: Float[Tensor, "batch queries points"],
) -> tuple[Float[Tensor, "batch queries 3"], Int[Tensor, "batch queries 3"]]:
    """The three smallest squared distances and their indices, infinite where there are fewer; changes its argument."""
    if torch.compiler.is_exporting():
        return nearest_traced(F.pad(squared, (0, 3), value=torch.inf), 3)
    rounds = []
    for _ in range(3):
        nearest = squared.min(-1, keepdim=True)
        rounds.append(nearest)
        squared.scatter_(-1, nearest.indices, torch.inf)
    return torch.cat([n.values for n in rounds], -1), torch.cat([n.indices for n in rounds], -1)


def _square(vectors: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """Returns squared lengths, summed x, y, z; `sum(-1)` may use another order and round differently."""
    x, y, z = vectors.unbind(-1)
    return x * x + y * y + z * z


def _square_distances(
    queries: Float[Tensor, "batch queries 3"],
    points: Float[Tensor, "batch points 3"],
    valid: Bool[Tensor, "batch points"] | None,
) -> Float[Tensor, "batch queries points"]:
    """Returns squared distances from differences: |a|² - 2ab + |b|² would lose all digits for near points."""
    x, y, z = (
        query.unsqueeze(-1) - point.unsqueeze(-2)
        for query, point in zip(queries.detach().unbind(-1), points.detach().unbind(-1), strict=True)
    )
    squared = x * x + y * y + z * z
    return squared if valid is None else squared.masked_fill_(~valid.unsqueeze(1), torch.inf)
